//! Makes the archive that users deploy: the stripped release binary, the plugins, and what describes them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::plugins::{self, Kind};
use crate::process::{root, run as run_command, target_directory};
use crate::{Result, release, setup};

/// What describes the gateway, each file in the place that it has in the repository: so the links between them work.
const DOCUMENTS: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "examples/audit",
    "examples/deploy",
    "examples/hello-plugin",
    "examples/lookup-log",
    "examples/microservices/README.md",
    "examples/microservices/gateway.yaml",
    "examples/minimal",
    "examples/observability",
    "examples/redaction",
    "gateway/ARCHITECTURE.md",
    "gateway/audit/FORMAT.md",
    "gateway/docs",
    "plugin-sdk/README.md",
    "plugin-sdk/wit",
];

/// The task.
pub(crate) fn run(options: &release::Options) -> Result {
    let built = release::build(options)?;
    setup::wasm()?;
    let wasm = plugins::build(&[Kind::Standard])?;
    let target = target_directory()?;
    // The build keeps line tables for profilers; what is deployed does not need them.
    let binary = target.join("dist-gateway");
    run_command(Command::new("strip").arg("-o").arg(&binary).arg(&built))?;
    let name = format!("gateway-{}-{}", env!("CARGO_PKG_VERSION"), release::host()?);
    let archive = target.join(format!("{name}.tar.gz"));
    write(&archive, &name, &contents(&binary, &wasm)?).map_err(|error| format!("{}: {error}", archive.display()))?;
    println!("{}", archive.display());
    Ok(())
}

/// A file, and its place in the archive.
type Entry = (PathBuf, String);

/// Everything that is in the archive.
fn contents(binary: &Path, wasm: &Path) -> Result<Vec<Entry>> {
    let mut entries = vec![(binary.to_owned(), "bin/gateway".to_owned())];
    for plugin in plugins::names(Kind::Standard)? {
        entries.push((wasm.join(format!("{plugin}.wasm")), format!("plugins/{plugin}.wasm")));
        let readme = format!("plugins/{plugin}/README.md");
        entries.push((root().join(&readme), readme));
    }
    for document in DOCUMENTS {
        collect(document, &mut entries)?;
    }
    entries.sort_by(|one, other| one.1.cmp(&other.1));
    Ok(entries)
}

/// A file of the repository, or all files of a directory.
fn collect(place: &str, entries: &mut Vec<Entry>) -> Result {
    let path = root().join(place);
    if !path.is_dir() {
        entries.push((path, place.to_owned()));
        return Ok(());
    }
    let fail = |error: std::io::Error| format!("{place}: {error}");
    for file in fs::read_dir(&path).map_err(fail)? {
        let name = file.map_err(fail)?.file_name();
        collect(&format!("{place}/{}", name.to_string_lossy()), entries)?;
    }
    Ok(())
}

fn write(archive: &Path, name: &str, entries: &[Entry]) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(archive)?, Compression::best()));
    for (file, place) in entries {
        tar.append_path_with_name(file, format!("{name}/{place}"))?;
    }
    tar.into_inner()?.finish()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Vec<Entry> {
        contents(Path::new("gateway"), Path::new("wasm")).unwrap()
    }

    #[test]
    fn the_archive_has_the_standard_plugins_and_no_guests_of_the_tests() {
        let places = places();
        let wasm: Vec<&str> = places.iter().map(|(_, place)| place.as_str()).filter(|p| p.ends_with(".wasm")).collect();
        let standard = ["auth", "circuit-breaker", "pii-redact", "rate-limit"];
        assert_eq!(wasm, standard.map(|name| format!("plugins/{name}.wasm")));
    }

    #[test]
    fn every_link_between_the_documents_leads_to_something_in_the_archive() {
        let places = places();
        let mut links = 0;
        for (file, place) in places.iter().filter(|(_, place)| place.ends_with(".md")) {
            let text = fs::read_to_string(file).unwrap();
            for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.contains("://") || target.starts_with('#') {
                    continue;
                }
                let mut at: Vec<&str> = place.split('/').collect();
                at.pop();
                for step in target.split('#').next().unwrap().split('/') {
                    match step {
                        ".." => drop(at.pop()),
                        step => at.push(step),
                    }
                }
                let (exact, below) = (at.join("/"), at.join("/") + "/");
                let known = places.iter().any(|(_, other)| *other == exact || other.starts_with(&below));
                assert!(known, "{place} links to {target}, which is not in the archive");
                links += 1;
            }
        }
        assert!(links > 10, "only {links} links were found");
    }
}
