//! The gateway out of a release archive, where one is at hand: compiling it is most of what the demo waits for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::process::{root, target_directory};
use crate::{Result, release};

/// The binary of the archive that was named, or, where none was and the gateway has not been compiled here yet, of one that
/// lies in the repository or its target directory. None: it has to be compiled.
pub(super) fn gateway(named: Option<&Path>) -> Result<Option<PathBuf>> {
    let archive = match named {
        Some(archive) => archive.to_owned(),
        None if target_directory()?.join("debug/gateway").exists() => return Ok(None),
        None => {
            // Of this version only: an older gateway does not have to understand the plugins of this one.
            let name = format!("gateway-{}-{}.tar.gz", env!("CARGO_PKG_VERSION"), release::host()?);
            let places = [root().join(&name), target_directory()?.join(&name)];
            let Some(found) = places.into_iter().find(|place| place.is_file()) else { return Ok(None) };
            found
        }
    };
    println!("taking the gateway from {}", archive.display());
    let to = target_directory()?.join("demo/gateway");
    unpack(&archive, &to).map_err(|error| format!("{}: {error}", archive.display()))?;
    Ok(Some(to))
}

/// Writes `bin/gateway` of an archive to a place of its own.
fn unpack(archive: &Path, to: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("bin/gateway") {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            return entry.unpack(to).map(drop);
        }
    }
    Err(std::io::Error::other("it has no bin/gateway"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn the_gateway_is_found_in_an_archive_and_missed_in_another() {
        let directory = tempfile::tempdir().unwrap();
        let write = |place: &str| {
            let file = directory.path().join("archive.tar.gz");
            let mut tar = tar::Builder::new(GzEncoder::new(File::create(&file).unwrap(), Compression::fast()));
            let binary = directory.path().join("binary");
            fs::write(&binary, "the gateway").unwrap();
            tar.append_path_with_name(&binary, place).unwrap();
            tar.into_inner().unwrap().finish().unwrap();
            file
        };
        let to = directory.path().join("out/gateway");
        unpack(&write("gateway-0.1.0/bin/gateway"), &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "the gateway");
        assert!(unpack(&write("gateway-0.1.0/README.md"), &to).is_err());
    }
}
