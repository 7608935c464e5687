//! Programs of Debian packages that are unpacked under the target directory, not installed: what tests use as peers needs no
//! root, and starts no server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::{exists, output, run, target_directory};

/// Prometheus, which scrapes the gateway in tests, and its `promtool`.
const PROMETHEUS: &str = "prometheus";

/// The directory with `prometheus` and `promtool`: that of Debian's package, unpacked to `prometheus/` in the target directory.
pub(crate) fn prometheus() -> Result<PathBuf> {
    let place = target_directory()?.join(PROMETHEUS);
    let programs = place.join("usr/bin");
    if ["prometheus", "promtool"].iter().all(|program| programs.join(program).exists()) {
        return Ok(programs);
    }
    for program in ["apt-get", "dpkg"] {
        if !exists(program) {
            return Err(format!(
                "tests need prometheus and promtool, which come of a Debian package, and {program} is not here; put the two \
                 programs into {}",
                programs.display()
            ));
        }
    }
    println!("unpacking {PROMETHEUS} to {}", place.display());
    unpack(PROMETHEUS, &place)?;
    Ok(programs)
}

/// Downloads a package and unpacks it. Where the machine's lists of packages are missing, as in images of containers, they are
/// fetched to a place of ours first.
fn unpack(package: &str, place: &Path) -> Result {
    let fail = |error: std::io::Error| format!("{}: {error}", place.display());
    let download = place.join("download");
    let lists = download.join("lists");
    fs::create_dir_all(lists.join("partial")).map_err(fail)?;
    let apt = |own_lists: bool, arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(&download).args(["-qq", "-o", "APT::Sandbox::User=root"]);
        if own_lists {
            command.arg("-o").arg(format!("Dir::State::Lists={}", lists.display()));
            command.arg("-o").arg(format!("Dir::Cache={}", download.join("cache").display()));
        }
        command.args(arguments);
        command
    };
    if output(&mut apt(false, &["download", package])).is_err() {
        run(&mut apt(true, &["update"]))?;
        run(&mut apt(true, &["download", package]))?;
    }
    let archive = fs::read_dir(&download)
        .map_err(fail)?
        .flatten()
        .map(|file| file.path())
        .find(|file| file.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get downloaded no package {package}"))?;
    run(Command::new("dpkg").arg("-x").arg(archive).arg(place))?;
    fs::remove_dir_all(&download).map_err(fail)
}
