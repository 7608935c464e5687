//! The gateway's binary as it is deployed: a release build guided by a profile of the gateway at work (the rustc book,
//! "Profile-guided Optimization").
//!
//! It is compiled twice, with counters in it and then with what they counted, in target directories of its own: what has
//! not changed is not compiled again, nor is traffic sent again through a binary that has been counted.

mod training;

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use clap::Args;

use crate::process::{cargo, exists, find, output, run, target_directory};
use crate::{Result, setup};

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
    let profdata = compiler.profdata()?;
    setup::tools(training::TOOLS)?;
    let work = target_directory()?.join("pgo");
    let counts = work.join("counts");
    let counting = compiler.build(&work.join("counting"), &flag("-Cprofile-generate=", &counts))?;
    let profile = match recorded(&work, &counting) {
        Some(profile) => profile,
        None => {
            let _ = fs::remove_dir_all(&counts);
            training::run(&work, &counting)?;
            merge(&profdata, &counts, &work)?
        }
    };
    compiler.build(&work.join("guided"), &flag("-Cprofile-use=", &profile))
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

    /// llvm-profdata of the compiler's own LLVM, whose files it reads and writes: by rustup, or from the system's
    /// packages.
    fn profdata(&self) -> Result<PathBuf> {
        let own = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/llvm-profdata");
        let (packaged, package) = (format!("llvm-profdata-{}", self.llvm), format!("llvm-{}", self.llvm));
        let present = || if own.is_file() { Some(own.clone()) } else { find(&packaged) };
        if let Some(program) = present() {
            return Ok(program);
        }
        println!("installing the compiler's llvm-tools");
        if exists("rustup") {
            // Whether that worked is seen by whether it is there.
            let _ = Command::new("rustup").args(["component", "add", "llvm-tools"]).status();
        }
        if present().is_none() {
            setup::packages(&[&package]).map_err(|error| {
                format!("no llvm-profdata (`rustup component add llvm-tools`): {error}\n--no-pgo builds without it")
            })?;
        }
        present().ok_or_else(|| format!("{package} was installed, but {packaged} is not in PATH"))
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

/// All flags, as cargo wants them in one variable.
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

/// A profile that is younger than the binary it is of, and than the traffic that this program sends.
fn recorded(work: &Path, counting: &Path) -> Option<PathBuf> {
    let age = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let oldest: SystemTime = age(counting)?.max(age(&std::env::current_exe().ok()?)?);
    profiles(work).into_iter().find(|profile| age(profile).is_some_and(|age| age > oldest))
}

fn profiles(work: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(work).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "profdata")).collect()
}

/// Makes the profile, named by its content: cargo compiles again where a flag changes, not where a file does.
fn merge(profdata: &Path, counts: &Path, work: &Path) -> Result<PathBuf> {
    for old in profiles(work) {
        let _ = fs::remove_file(old);
    }
    let merged = work.join("merged");
    run(Command::new(profdata).arg("merge").arg("--output").arg(&merged).arg(counts))?;
    let fail = |error: std::io::Error| format!("{}: {error}", merged.display());
    let mut hash = DefaultHasher::new();
    fs::read(&merged).map_err(fail)?.hash(&mut hash);
    let profile = work.join(format!("gateway-{:016x}.profdata", hash.finish()));
    fs::rename(&merged, &profile).map_err(fail)?;
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_used_again_until_the_binary_is_younger() {
        let work = tempfile::tempdir().unwrap();
        let (binary, profile) = (work.path().join("gateway"), work.path().join("gateway-0.profdata"));
        let now = SystemTime::now();
        let at = |seconds| now + std::time::Duration::from_secs(seconds);
        let write = |file: &Path, time| fs::File::create(file).unwrap().set_modified(time).unwrap();
        write(&binary, at(60));
        assert_eq!(recorded(work.path(), &binary), None);
        write(&profile, at(60));
        assert_eq!(recorded(work.path(), &binary), None);
        write(&profile, at(61));
        assert_eq!(recorded(work.path(), &binary), Some(profile.clone()));
        write(&binary, at(62));
        assert_eq!(recorded(work.path(), &binary), None);
    }

    #[test]
    fn a_profile_of_another_content_has_another_name() {
        let work = tempfile::tempdir().unwrap();
        let counts = work.path().join("counts");
        // `cp` in the place of llvm-profdata: `merge --output MERGED COUNTS` becomes a copy.
        let script = work.path().join("profdata");
        fs::write(&script, "#!/bin/sh\ncp \"$4\" \"$3\"\n").unwrap();
        run(Command::new("chmod").arg("+x").arg(&script)).unwrap();
        fs::write(&counts, "one").unwrap();
        let one = merge(&script, &counts, work.path()).unwrap();
        fs::write(&counts, "two").unwrap();
        let two = merge(&script, &counts, work.path()).unwrap();
        assert_ne!(one, two);
        assert_eq!(profiles(work.path()), [two]);
    }
}
