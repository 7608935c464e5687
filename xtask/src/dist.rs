//! Makes the archive that users deploy: the stripped release binary, the plugins, and what describes them.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::process::{cargo, output, root, run as run_command, target_directory};
use crate::{Result, plugins, setup};

/// The task.
pub(crate) fn run() -> Result {
    setup::wasm()?;
    let wasm = plugins::build()?;
    run_command(cargo().args(["build", "--release", "--package", "gateway"]))?;
    // The build keeps line tables for profilers; what is deployed does not need them.
    let binary = target_directory()?.join("dist-gateway");
    run_command(Command::new("strip").arg("-o").arg(&binary).arg(target_directory()?.join("release/gateway")))?;
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("unknown").to_owned();
    let name = format!("gateway-{}-{host}", env!("CARGO_PKG_VERSION"));
    let archive = target_directory()?.join(format!("{name}.tar.gz"));
    write(&archive, &name, &binary, &wasm).map_err(|error| format!("{}: {error}", archive.display()))?;
    println!("{}", archive.display());
    Ok(())
}

fn write(archive: &Path, name: &str, binary: &Path, wasm: &Path) -> std::io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(archive)?, Compression::best()));
    tar.append_path_with_name(binary, format!("{name}/gateway"))?;
    for plugin in plugins::names().unwrap_or_default() {
        let file = format!("{plugin}.wasm");
        tar.append_path_with_name(wasm.join(&file), format!("{name}/plugins/{file}"))?;
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE"] {
        tar.append_path_with_name(root().join(file), format!("{name}/{file}"))?;
    }
    tar.append_dir_all(format!("{name}/deploy"), root().join("examples/deploy"))?;
    tar.into_inner()?.finish()?.sync_all()
}
