//! `gateway plugin build`: cargo for the gateway's target, what became of it, and where its bytes are.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use wasmparser::{Parser, Payload};

use crate::cli::output;
use crate::{plugin, watch};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The directory of the plugin's crate.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// What else cargo is told, for example --features or --package.
    #[arg(last = true)]
    cargo: Vec<String>,
}

/// What plugins are built for.
const TARGET: &str = "wasm32-unknown-unknown";

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match build(arguments) {
        Ok(told) => output::show(&told),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build(arguments: &Arguments) -> Result<String, String> {
    let files = cargo(&arguments.directory, &arguments.cargo)?;
    if files.is_empty() {
        return Err(format!(
            "cargo built no wasm file; a plugin's Cargo.toml has `[lib] crate-type = [\"cdylib\", \"rlib\"]` ({})",
            arguments.directory.display()
        ));
    }
    let mut told = String::new();
    for file in files {
        let bytes = watch::read_regular(&file, plugin::MAX_BYTES)
            .map_err(|error| format!("{}: can't be read: {error}", file.display()))?;
        let found = plugin::inspect(&plugin::this_program(), &bytes)
            .map_err(|error| format!("{}\nwas built, and no gateway would load it: {error}", file.display()))?;
        told.push_str(&format!("{}\n{found}\n{}", file.display(), sizes(&bytes)));
        told.push_str(&format!("\nnext: gateway plugin install {}\n", file.display()));
    }
    Ok(told)
}

/// Runs cargo, whose messages go to its user, and gives back the wasm files.
fn cargo(directory: &Path, more: &[String]) -> Result<Vec<PathBuf>, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(&program)
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .args(more)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!("{}: can't be started: {error}; plugins are built with Rust (rustup.rs)", program.display())
        })?;
    let mut files = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok))
    {
        let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let of_message = message["filenames"].as_array().into_iter().flatten().filter_map(|file| file.as_str());
        files.extend(of_message.filter(|file| file.ends_with(".wasm")).map(PathBuf::from));
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(files),
        Ok(_) => Err(format!(
            "cargo failed; if it lacks the target: rustup target add {TARGET}, or your system's package for it"
        )),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

/// Bytes by section, the largest first.
fn sizes(bytes: &[u8]) -> String {
    let mut sections = BTreeMap::<String, u64>::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let name = match &payload {
            Payload::CustomSection(custom) => match custom.name() {
                name if name.starts_with(".debug") || name == "name" => format!("{name} (debug information)"),
                name => name.to_owned(),
            },
            Payload::CodeSectionStart { .. } => "code".to_owned(),
            Payload::DataSection(_) => "data".to_owned(),
            _ => "other".to_owned(),
        };
        if let Some((_, range)) = payload.as_section() {
            *sections.entry(name).or_default() += range.end.saturating_sub(range.start);
        }
    }
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let debug: u64 =
        sections.iter().filter(|(name, _)| name.ends_with("(debug information)")).map(|(_, size)| size).sum();
    let mut told = format!("{:>9}  bytes in all\n", bytes.len());
    sections.iter().for_each(|(name, size)| told.push_str(&format!("{size:>9}  {name}\n")));
    if debug > bytes.len() as u64 / 4 {
        told.push_str("most of the file tells where a trap was; `strip = true` in [profile.release] leaves it out\n");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_file_is_in_one_section_or_the_frame_around_them() {
        let module = wat::parse_str(
            "(module (memory 1) (data (i32.const 0) \"hello\") (func (export \"f\")) (@custom \"note\" \"abc\"))",
        );
        let module = module.expect("wasm");
        let told = sizes(&module);
        assert!(told.starts_with(&format!("{:>9}  bytes in all\n", module.len())), "{told}");
        for section in ["code", "data", "note", "other"] {
            assert!(told.lines().any(|line| line.ends_with(&format!("  {section}"))), "{told}");
        }
    }
}
