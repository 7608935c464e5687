//! Builds every plugin for wasm32 and puts it where a gateway can load it: `target/plugins/NAME.wasm`.

use std::fs;
use std::path::PathBuf;

use crate::Result;
use crate::process::{cargo, root, run, target_directory};
use crate::wasm_target;

/// Builds the crates of `plugins/` and the example plugins; returns the directory of the wasm files.
pub(crate) fn build() -> Result<PathBuf> {
    let names = names()?;
    let mut command = cargo();
    command.args(["build", "--release", "--target", wasm_target::NAME]);
    for name in &names {
        command.args(["--package", name]);
    }
    run(&mut command)?;
    let built = target_directory()?.join(wasm_target::NAME).join("release");
    let directory = target_directory()?.join("plugins");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for name in &names {
        let from = built.join(format!("{}.wasm", name.replace('-', "_")));
        // A rename is what a watching gateway sees as one change.
        let (part, to) = (directory.join(format!(".{name}.wasm.part")), directory.join(format!("{name}.wasm")));
        fs::copy(&from, &part)
            .and_then(|_| fs::rename(&part, &to))
            .map_err(|error| format!("can't copy {} to {}: {error}", from.display(), to.display()))?;
    }
    Ok(directory)
}

/// The names of all plugin crates: everything in `plugins/`, and the crates in `examples/` and `tests/guests/` that make a cdylib.
pub(crate) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["plugins", "examples", "tests/guests"] {
        let folder = root().join(folder);
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
            if manifest.contains("cdylib") {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}
