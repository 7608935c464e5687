//! The standard library for wasm32-unknown-unknown where rustup's server can't be reached: built from the sources of
//! the exact same compiler, which Debian packages as `rust-src`.
//!
//! The suite that has the package need not be in the machine's own apt configuration: apt gets a private sources file
//! and private lists; the mirror's address comes from the machine's own sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::{exists, output, run};

/// The target's name.
pub(crate) const NAME: &str = "wasm32-unknown-unknown";

/// Whether the compiler in PATH has the target.
pub(crate) fn is_installed() -> Result<bool> {
    let library = library()?;
    let Ok(files) = fs::read_dir(library) else { return Ok(false) };
    Ok(files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    }))
}

fn library() -> Result<PathBuf> {
    let printed = output(Command::new("rustc").args(["--print", "target-libdir", "--target", NAME]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Builds the target and puts it into the sysroot.
pub(crate) fn build_from_debian_sources() -> Result {
    for program in ["apt-get", "apt-cache", "dpkg"] {
        if !exists(program) {
            return Err(format!(
                "the target {NAME} is missing, rustup can't install it here, and without {program} it can't be built \
                 from Debian's sources; install it with `rustup target add {NAME}` on a machine with network access"
            ));
        }
    }
    let version = output(Command::new("rustc").arg("--version"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let work = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let sources = Apt::new(work.path())?.fetch_sources(&version)?;
    let built = build(work.path(), &sources, &version)?;
    install(&built)
}

/// apt with sources and lists of our own.
struct Apt {
    work: PathBuf,
    mirror: String,
    suites: Vec<String>,
    signed_by: Option<String>,
}

impl Apt {
    fn new(work: &Path) -> Result<Self> {
        for directory in ["lists/partial", "cache/archives/partial", "src"] {
            fs::create_dir_all(work.join(directory)).map_err(|error| format!("{directory}: {error}"))?;
        }
        let (mirror, own) = mirror(work)?;
        let mut suites = vec![own];
        suites.extend(["trixie-backports", "trixie", "forky", "sid"].map(str::to_owned));
        let signed_by = signed_by(&mirror);
        Ok(Self { work: work.to_owned(), mirror, suites, signed_by })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let set = |name: &str, file: &Path| format!("{name}={}", file.display());
        command.args(["-o", &set("Dir::Etc::SourceList", &self.work.join("sources.list"))]);
        command.args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
        command.args(["-o", &set("Dir::State::Lists", &self.work.join("lists"))]);
        command.args(["-o", &set("Dir::Cache", &self.work.join("cache"))]);
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }

    /// Unpacks the package of this compiler's sources; returns the directory of `library/`.
    fn fetch_sources(&self, version: &str) -> Result<PathBuf> {
        let (suite, package) = self.find_package(version)?;
        println!("rust-src {package} from {suite}");
        run(self.command("apt-get").args(["-qq", "download", &format!("rust-src={package}")]).current_dir(&self.work))?;
        let archive = fs::read_dir(&self.work)
            .map_err(|error| error.to_string())?
            .flatten()
            .map(|file| file.path())
            .find(|file| file.extension().is_some_and(|extension| extension == "deb"))
            .ok_or("apt-get downloaded nothing")?;
        let unpacked = self.work.join("src");
        run(Command::new("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
        Ok(unpacked.join(format!("usr/src/rustc-{version}/library")))
    }

    fn find_package(&self, version: &str) -> Result<(String, String)> {
        for suite in &self.suites {
            let options = self.signed_by.as_ref().map(|key| format!("[signed-by={key}] ")).unwrap_or_default();
            let line = format!("deb {options}{} {suite} main\n", self.mirror);
            fs::write(self.work.join("sources.list"), line).map_err(|error| error.to_string())?;
            if run(self.command("apt-get").args(["-qq", "update"])).is_err() {
                continue;
            }
            let known = output(self.command("apt-cache").args(["madison", "rust-src"])).unwrap_or_default();
            let package = known.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).find(|known| {
                known.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-']))
            });
            if let Some(package) = package {
                return Ok((suite.clone(), package.to_owned()));
            }
        }
        Err(format!("no suite of the package mirror has rust-src {version}; tried {}", self.suites.join(", ")))
    }
}

/// The package mirror of the machine's own sources, with the suite. apt names only what it has lists of; where these
/// were removed, as container images do, it fetches them to a place of ours first.
fn mirror(work: &Path) -> Result<(String, String)> {
    let indextargets = |options: &[String]| {
        let format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
        let mut command = Command::new("apt-get");
        command.args(options).args(["indextargets", "--format", format, "Created-By: Packages"]);
        output(&mut command).map(|targets| main_mirror(&targets))
    };
    if let Some(found) = indextargets(&[])? {
        return Ok(found);
    }
    let lists = work.join("own-lists");
    fs::create_dir_all(lists.join("partial")).map_err(|error| format!("{}: {error}", lists.display()))?;
    let mut options = Vec::new();
    for setting in [
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache={}", work.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
    ] {
        options.extend(["-o".to_owned(), setting]);
    }
    run(Command::new("apt-get").args(&options).args(["-qq", "update"]))?;
    indextargets(&options)?.ok_or_else(|| "apt's sources name no package mirror".to_owned())
}

/// The first mirror of the component `main` that is not for security updates alone, and its suite.
fn main_mirror(targets: &str) -> Option<(String, String)> {
    targets
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .find(|(uri, _, component)| *component == "main" && !uri.contains("security"))
        .map(|(uri, suite, _)| (uri.to_owned(), suite.to_owned()))
}

/// The key that apt's own sources name for this mirror.
fn signed_by(mirror: &str) -> Option<String> {
    let mirror = mirror.trim_end_matches('/');
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|file| file.path()));
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok()).filter(|text| text.contains(mirror));
    texts.into_iter().find_map(|text| {
        text.lines().filter(|line| !line.trim_start().starts_with('#')).find_map(|line| {
            let lower = line.to_ascii_lowercase();
            let start = lower.find("signed-by").map(|start| start + "signed-by".len())?;
            let value = line[start..].trim_start_matches([':', '=', ' ']);
            let key: String = value.chars().take_while(|c| !c.is_whitespace() && *c != ']').collect();
            key.starts_with('/').then_some(key)
        })
    })
}

/// std as a by-product of an empty crate without dependencies, so that `deps` holds nothing but std's own crates.
/// With bitcode, because plugins with `lto = true` don't link without it.
fn build(work: &Path, sources: &Path, version: &str) -> Result<PathBuf> {
    if !sources.is_dir() {
        return Err(format!("the package has no sources of rustc {version} in {}", sources.display()));
    }
    let empty = work.join("empty");
    fs::create_dir_all(empty.join("src")).map_err(|error| error.to_string())?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(empty.join("Cargo.toml"), manifest).map_err(|error| error.to_string())?;
    fs::write(empty.join("src/lib.rs"), "").map_err(|error| error.to_string())?;
    let target = work.join("target");
    run(Command::new("cargo")
        .args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort", "--target", NAME])
        .current_dir(&empty)
        .env_remove("RUSTC_WRAPPER")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_TARGET_DIR", &target)
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", sources))?;
    Ok(target.join(NAME).join("release/deps"))
}

fn install(built: &Path) -> Result {
    let library = library()?;
    let fail = |error: std::io::Error| format!("can't install the target into {}: {error}", library.display());
    fs::create_dir_all(&library).map_err(fail)?;
    for old in fs::read_dir(&library).map_err(fail)?.flatten() {
        if old.path().extension().is_some_and(|extension| extension == "rlib") {
            fs::remove_file(old.path()).map_err(fail)?;
        }
    }
    let mut count = 0;
    for file in fs::read_dir(built).map_err(fail)?.flatten() {
        let name = file.file_name();
        let is_std = !name.to_string_lossy().starts_with("libempty-");
        if is_std && file.path().extension().is_some_and(|extension| extension == "rlib") {
            fs::copy(file.path(), library.join(&name)).map_err(fail)?;
            count += 1;
        }
    }
    println!("installed {count} crates in {}", library.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_that_has_all_packages() {
        let targets = "http://deb/debian-security/|bookworm-security|main\n\
                       http://deb/debian/|bookworm|contrib\nhttp://deb/debian/|bookworm|main\n";
        let found = Some(("http://deb/debian/".to_owned(), "bookworm".to_owned()));
        assert_eq!(main_mirror(targets), found);
        assert_eq!(main_mirror(""), None);
    }
}
