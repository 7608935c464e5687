//! Files of real packages: those that the workspace depends on, and others, which are downloaded once with the registry's own
//! client and checked against their checksums.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;

use super::packages::{NPM, Package};
use crate::Result;
use crate::process::{cargo, exists, output};

/// A list of the directories with the files of all packages, one on each line; `None`, and a word about it, where one can't
/// be had, as without a network.
pub(super) fn fetch(place: &Path) -> Result<Option<PathBuf>> {
    let (archives, files) = (place.join("archives"), place.join("files"));
    for directory in [&archives, &files] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    for package in NPM {
        let archive = archives.join(package.archive);
        let there = if archive.is_file() { Ok(()) } else { download(package, &archives) };
        if let Err(error) = there {
            println!("no files of packages are measured, {} can't be had:\n{error}\n", package.name);
            return Ok(None);
        }
        let to = files.join(package.archive.trim_end_matches(".tgz"));
        if !to.is_dir() {
            verify(package, &archive)?;
            unpack(&archive, &to).map_err(|error| format!("{}: {error}", archive.display()))?;
        }
    }
    let mut all = crates()?;
    all.push(files);
    let list = place.join("directories");
    let lines: String = all.iter().map(|directory| format!("{}\n", directory.display())).collect();
    fs::write(&list, lines).map_err(|error| format!("{}: {error}", list.display()))?;
    Ok(Some(list))
}

/// The sources of the crates that the workspace depends on, which cargo has here: documents, lock files, test data.
fn crates() -> Result<Vec<PathBuf>> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("`cargo metadata` named no packages")?;
    let of_registry = packages.iter().filter(|package| package["source"].is_string());
    let manifests = of_registry.filter_map(|package| package["manifest_path"].as_str());
    Ok(manifests.filter_map(|manifest| Path::new(manifest).parent()).map(Path::to_owned).collect())
}

fn download(package: &Package, into: &Path) -> Result {
    if !exists("npm") {
        return Err("there is no `npm` (Debian: npm)".to_owned());
    }
    println!("downloading {}", package.name);
    output(Command::new("npm").args(["pack", "--silent", package.name, "--pack-destination"]).arg(into)).map(drop)
}

/// An archive that is another one is removed, so that the next run downloads it again.
fn verify(package: &Package, archive: &Path) -> Result {
    let printed = output(Command::new("sha256sum").arg("--").arg(archive))?;
    if printed.split_whitespace().next() == Some(package.sha256) {
        return Ok(());
    }
    fs::remove_file(archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    Err(format!("{}: the checksum is not {}", package.name, package.sha256))
}

/// Unpacks beside the place first, so that what is there is there as a whole.
fn unpack(archive: &Path, to: &Path) -> std::io::Result<()> {
    let beside = to.with_extension("part");
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    tar::Archive::new(GzDecoder::new(File::open(archive)?)).unpack(&beside)?;
    fs::rename(&beside, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_with_another_checksum_is_refused_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.tgz");
        fs::write(&archive, "abc").unwrap();
        // SHA-256 of `abc`: FIPS 180-2, appendix B.1.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let package = |sha256| Package { name: "a@1", archive: "a.tgz", sha256 };
        assert_eq!(verify(&package(sha256), &archive), Ok(()));
        assert!(verify(&package("00"), &archive).is_err());
        assert!(!archive.exists());
    }
}
