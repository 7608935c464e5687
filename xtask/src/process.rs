//! Running other programs, and where things are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::Result;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Cargo's target directory, as cargo itself says: environment, configuration files and defaults are its business.
pub(crate) fn target_directory() -> Result<PathBuf> {
    static KNOWN: OnceLock<PathBuf> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))?;
    let directory = metadata["target_directory"].as_str().ok_or("`cargo metadata` named no target directory")?;
    Ok(KNOWN.get_or_init(|| directory.into()).clone())
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Says how long it will take where nothing has been built yet; cargo shows what it compiles.
pub(crate) fn announce_first_build() -> Result {
    if !target_directory()?.join("debug/gateway").exists() {
        println!(
            "the first build compiles some 400 crates, wasmtime among them: half an hour on two cores, some minutes on \
             eight or more"
        );
    }
    Ok(())
}

/// Runs a command with its output shown; an error names the command and its exit code.
pub(crate) fn run(command: &mut Command) -> Result {
    let name = display(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` failed: {status}")),
        Err(error) => Err(format!("`{name}` could not be started: {error}")),
    }
}

/// Runs a command and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = display(command);
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("`{name}` could not be started: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{name}` failed: {}\n{}", output.status, stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is in PATH.
pub(crate) fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is, in PATH or in the directories of system daemons.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// The unit of the CPU times in /proc/PID/stat.
pub(crate) fn ticks_per_second() -> Result<f64> {
    let ticks = output(Command::new("getconf").arg("CLK_TCK"))?;
    ticks.trim().parse().map_err(|_| format!("getconf CLK_TCK said {ticks:?}"))
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
