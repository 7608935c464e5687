//! The gateway's binary as it is deployed: a release build guided by a profile of the gateway at work (the rustc book,
//! "Profile-guided Optimization").
//!
//! It is compiled twice, with counters in it and then with what they counted, each in a target directory of its own. Where
//! neither the counting binary nor the traffic has changed, nothing is done again.

mod training;

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::process::{cargo, exists, find, output, run, target_directory};
use crate::{Result, setup};
use training::Training;

/// Options of the tasks that build what is deployed.
#[derive(Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Build without a profile: done in a third of the time, but the gateway takes about a tenth more CPU per request.
    #[arg(long)]
    no_pgo: bool,
}

/// Builds it; returns where it is. It is not stripped.
pub(crate) fn build(options: &Options) -> Result<PathBuf> {
    if options.no_pgo {
        run(cargo().args(["build", "--release", "--package", "gateway"]))?;
        return Ok(target_directory()?.join("release/gateway"));
    }
    let compiler = Compiler::ask()?;
    // Before anything that takes long.
    let (profdata, training) = compiler
        .profdata()
        .and_then(|profdata| Ok((profdata, Training::prepare()?)))
        .map_err(|error| format!("{error}\n(--no-pgo builds without a profile, and without what that needs)"))?;
    let work = target_directory()?.join("pgo");
    let (counts, guided) = (work.join("counts"), work.join("guided"));
    let counting = compiler.build(&work.join("counting"), &flag("-Cprofile-generate=", &counts))?;
    let mut inputs = training.inputs()?;
    inputs.extend([counting.clone(), profdata.clone()]);
    // Named by what it depends on: what is recorded is used again, and cargo compiles again where a flag has changed.
    let profile = work.join(format!("gateway-{:016x}.profdata", hash(&inputs)?));
    if !profile.exists() {
        remove(&counts)?;
        training.run(&work, &counting)?;
        // What earlier profiles made is of no more use to anybody.
        profiles(&work).iter().try_for_each(|old| remove(old))?;
        remove(&guided.join(&compiler.host))?;
        merge(&profdata, &counts, &profile)?;
    }
    compiler.build(&guided, &flag("-Cprofile-use=", &profile))
}

/// What the binary runs on.
pub(crate) fn host() -> Result<String> {
    Compiler::ask().map(|compiler| compiler.host)
}

/// The compiler in PATH.
struct Compiler {
    host: String,
    /// The major version of its LLVM.
    llvm: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self> {
        let version = output(Command::new("rustc").arg("-vV"))?;
        let line = |name: &str| {
            let found = version.lines().find_map(|line| line.strip_prefix(name));
            found.map(str::to_owned).ok_or_else(|| format!("`rustc -vV` printed no `{name}`"))
        };
        let llvm = line("LLVM version: ")?;
        let llvm = llvm.split('.').next().unwrap_or_default().to_owned();
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        Ok(Self { host: line("host: ")?, llvm, sysroot: sysroot.trim().into() })
    }

    /// llvm-profdata of the compiler's own LLVM, whose files it reads and writes: rustup's, or one in PATH.
    fn profdata(&self) -> Result<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
        let (versioned, package) = (format!("llvm-profdata-{}", self.llvm), format!("llvm-{}", self.llvm));
        let present = || {
            let own = own.is_file().then(|| own.clone());
            own.or_else(|| find(&versioned)).or_else(|| find("llvm-profdata").filter(|found| self.matches(found)))
        };
        if let Some(program) = present() {
            return Ok(program);
        }
        if exists("rustup") {
            println!("installing the compiler's llvm-tools");
            // Whether that worked is seen by whether it is there.
            let _ = Command::new("rustup").args(["component", "add", "llvm-tools"]).status();
            if let Some(program) = present() {
                return Ok(program);
            }
        }
        setup::packages(&[&package]).map_err(|error| {
            format!("no llvm-profdata of LLVM {} (`rustup component add llvm-tools`): {error}", self.llvm)
        })?;
        present().ok_or_else(|| format!("{package} was installed, but {versioned} is not in PATH"))
    }

    /// Whether a program of LLVM is of the compiler's version.
    fn matches(&self, program: &Path) -> bool {
        output(Command::new(program).arg("--version"))
            .is_ok_and(|printed| printed.contains(&format!("LLVM version {}.", self.llvm)))
    }

    /// A release build with one more flag for the compiler, in a target directory of its own.
    fn build(&self, target: &Path, flag: &OsString) -> Result<PathBuf> {
        let mut command = cargo();
        // With `--target`, build scripts and macros are compiled without the flag.
        command.args(["build", "--release", "--package", "gateway", "--target", &self.host]);
        run(command.arg("--target-dir").arg(target).env("CARGO_ENCODED_RUSTFLAGS", with_flags_of_the_user(flag)))?;
        Ok(target.join(&self.host).join("release/gateway"))
    }
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}

/// All flags, as cargo wants them in one variable. It takes the place of those in cargo's configuration files: who needs
/// some has them in `RUSTFLAGS`.
fn with_flags_of_the_user(flag: &OsString) -> OsString {
    let separator = "\u{1f}";
    let mut flags = std::env::var_os("CARGO_ENCODED_RUSTFLAGS").unwrap_or_else(|| {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        flags.split_whitespace().collect::<Vec<_>>().join(separator).into()
    });
    if !flags.is_empty() {
        flags.push(separator);
    }
    flags.push(flag);
    flags
}

/// Of the content of files.
fn hash(files: &[PathBuf]) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    for file in files {
        fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?.hash(&mut hash);
    }
    Ok(hash.finish())
}

fn profiles(work: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(work).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "profdata")).collect()
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> Result {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("can't remove {}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Makes a profile of the counts, whole or not at all.
fn merge(profdata: &Path, counts: &Path, profile: &Path) -> Result {
    if fs::read_dir(counts).map_or(true, |mut files| files.next().is_none()) {
        return Err(format!("the gateway ended without writing its counts into {}", counts.display()));
    }
    let part = profile.with_extension("part");
    run(Command::new(profdata).arg("merge").arg("--output").arg(&part).arg(counts))?;
    fs::rename(&part, profile).map_err(|error| format!("{}: {error}", profile.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_profile_follows_the_content_of_its_inputs() {
        let work = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| work.path().join(name));
        let write = |first: &str, second: &str| {
            fs::write(&one, first).unwrap();
            fs::write(&other, second).unwrap();
            hash(&[one.clone(), other.clone()]).unwrap()
        };
        let before = write("gateway", "auth");
        assert_eq!(before, write("gateway", "auth"));
        assert_ne!(before, write("gatewaya", "uth"));
        assert_ne!(before, write("gateway", "auth2"));
        assert!(hash(&[work.path().join("missing")]).unwrap_err().contains("missing"));
    }

    #[test]
    fn a_profile_without_counts_is_not_made() {
        let work = tempfile::tempdir().unwrap();
        let (counts, profile) = (work.path().join("counts"), work.path().join("gateway-0.profdata"));
        let told = |error: String| assert!(error.contains("without writing its counts"), "{error}");
        told(merge(Path::new("true"), &counts, &profile).unwrap_err());
        fs::create_dir(&counts).unwrap();
        told(merge(Path::new("true"), &counts, &profile).unwrap_err());
        fs::write(counts.join("a.profraw"), "").unwrap();
        assert!(merge(Path::new("false"), &counts, &profile).is_err());
        assert!(profiles(work.path()).is_empty());
    }
}
