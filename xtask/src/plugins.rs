//! Builds plugins for wasm32 and puts them where a gateway can load them: `target/plugins/NAME.wasm`; the guests of the
//! tests, which misbehave when told to, into `target/guests`.

use std::fs;
use std::path::PathBuf;

use crate::Result;
use crate::process::{cargo, root, run, target_directory};
use crate::wasm_target;

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Part of the gateway: what is deployed.
    Standard,
    /// Of the examples, the demo and the benchmark.
    Example,
    /// For tests of the plugin host.
    Guest,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Standard, Self::Example, Self::Guest];

    /// Where the crates are.
    const fn folder(self) -> &'static str {
        match self {
            Self::Standard => "plugins",
            Self::Example => "examples",
            Self::Guest => "tests/guests",
        }
    }

    /// Where the wasm files go, in the target directory.
    const fn built(self) -> &'static str {
        match self {
            Self::Standard | Self::Example => "plugins",
            Self::Guest => "guests",
        }
    }
}

/// Builds the crates of these kinds; returns the directory of the wasm files that aren't guests.
pub(crate) fn build(kinds: &[Kind]) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--release", "--target", wasm_target::NAME]);
    let mut plugins = Vec::new();
    for &kind in kinds {
        plugins.extend(names(kind)?.into_iter().map(|name| (kind, name)));
    }
    for (_, name) in &plugins {
        command.args(["--package", name]);
    }
    run(&mut command)?;
    let target = target_directory()?;
    let built = target.join(wasm_target::NAME).join("release");
    for (kind, name) in &plugins {
        let directory = target.join(kind.built());
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let from = built.join(format!("{}.wasm", name.replace('-', "_")));
        // A rename is what a watching gateway sees as one change.
        let (part, to) = (directory.join(format!(".{name}.wasm.part")), directory.join(format!("{name}.wasm")));
        fs::copy(&from, &part)
            .and_then(|_| fs::rename(&part, &to))
            .map_err(|error| format!("can't copy {} to {}: {error}", from.display(), to.display()))?;
    }
    Ok(target.join("plugins"))
}

/// The names of the plugin crates of a kind: those in its folder that make a cdylib.
pub(crate) fn names(kind: Kind) -> Result<Vec<String>> {
    let folder = root().join(kind.folder());
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // What has no manifest is no crate.
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("cdylib") {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
