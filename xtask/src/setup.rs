//! Installs what the other tasks need: the wasm target, and the tools that tests, the benchmark and release builds use.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{exists, find, output, run as run_command, target_directory};
use crate::{Result, debian, wasm_target};

/// A program that a task runs, with the Debian package that brings it.
pub(crate) struct Tool {
    package: &'static str,
    is_present: fn() -> bool,
}

/// An HTTP client that is not ours.
pub(crate) const CURL: Tool = Tool { package: "curl", is_present: || find("curl").is_some() };
/// Debian's Python comes without what makes an environment, so that Python alone says nothing.
pub(crate) const PYTHON: Tool = Tool {
    package: "python3-venv",
    is_present: || output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok(),
};
/// The peer of the benchmark, and the origin behind it and behind a release build that records its profile.
pub(crate) const NGINX: Tool = Tool { package: "nginx-light", is_present: || find("nginx").is_some() };
/// The load of both.
pub(crate) const H2LOAD: Tool = Tool { package: "nghttp2-client", is_present: || find("h2load").is_some() };
/// A receiver of syslog messages that is not ours. Programs for administrators may lie outside of a user's path.
pub(crate) const RSYSLOG: Tool = Tool { package: "rsyslog", is_present: || is_installed("rsyslogd") };
/// What moves logs away in most places.
pub(crate) const LOGROTATE: Tool = Tool { package: "logrotate", is_present: || is_installed("logrotate") };
/// A reader of access logs in NCSA's combined format.
pub(crate) const GOACCESS: Tool = Tool { package: "goaccess", is_present: || is_installed("goaccess") };
/// The peers of end-to-end tests.
pub(crate) const PEERS: [Tool; 5] = [CURL, PYTHON, RSYSLOG, LOGROTATE, GOACCESS];
/// What counts instructions.
pub(crate) const VALGRIND: Tool = Tool { package: "valgrind", is_present: || find("valgrind").is_some() };

/// What tests use of Python as peers that are not ours: an HTTP/3 client, OpenTelemetry's messages with gRPC,
/// a collector, and a server that speaks the protocol of S3.
const PYTHON_PACKAGES: &[&str] =
    &["aioquic==1.2.0", "grpcio==1.85.1", "moto[s3,server]==5.2.1", "opentelemetry-proto==1.45.2", "rotel==0.0.1a15"];
/// What is there where those are.
const PYTHON_IMPORTS: &str =
    "import aioquic.h3.connection, moto.server, opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc, rotel";

/// The task.
pub(crate) fn run() -> Result {
    wasm()?;
    tools(&PEERS)?;
    tools(&[NGINX, H2LOAD])?;
    let (python, prometheus) = (python()?, debian::prometheus()?);
    println!("wasm target, tools, {} and {} are in place", python.display(), prometheus.display());
    Ok(())
}

/// The wasm target: by rustup, or built from Debian's sources of the same compiler where rustup's server can't be
/// reached.
pub(crate) fn wasm() -> Result {
    if wasm_target::is_installed()? {
        return Ok(());
    }
    println!("installing the target {}", wasm_target::NAME);
    if exists("rustup") && Command::new("rustup").args(["target", "add", wasm_target::NAME]).status().is_ok() {
        // rustup exits with success in some offline set-ups without having installed anything: look again.
        if wasm_target::is_installed()? {
            return Ok(());
        }
    }
    println!("rustup did not bring it; building it from Debian's sources of the same compiler");
    wasm_target::build_from_debian_sources()?;
    // Each build of the standard library is another one: what was compiled with an earlier one can't be linked with it,
    // which cargo does not see.
    let target = target_directory()?;
    for stale in [target.join(wasm_target::NAME), target.join("debug/plugin-new")] {
        match std::fs::remove_dir_all(&stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("can't remove {}, which is out of date: {error}", stale.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The programs that a task needs, from the system's packages where that is possible.
pub(crate) fn tools(needed: &[Tool]) -> Result {
    let missing: Vec<&str> = needed.iter().filter(|tool| !(tool.is_present)()).map(|tool| tool.package).collect();
    if missing.is_empty() { Ok(()) } else { packages(&missing) }
}

/// Installs packages of the system that are missing.
pub(crate) fn packages(missing: &[&str]) -> Result {
    let command = format!("apt-get update && apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !is_root() || !exists("apt-get") {
        return Err(format!("programs that are needed are not here; as root on Debian: {command}"));
    }
    println!("installing {}", missing.join(", "));
    // Packages must not start their servers: tests start their own, on ports of their own.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let had_policy = policy.exists();
    if !had_policy {
        write_executable(policy, "#!/bin/sh\nexit 101\n")?;
    }
    let installed = run_command(Command::new("sh").args(["-c", &command]).env("DEBIAN_FRONTEND", "noninteractive"));
    if !had_policy {
        let _ = std::fs::remove_file(policy);
    }
    installed
}

/// A Python with the packages that tests use, in an environment of its own under the target directory.
pub(crate) fn python() -> Result<PathBuf> {
    let environment = target_directory()?.join("python");
    let python = environment.join("bin/python3");
    let has_packages = |python: &Path| {
        Command::new(python).args(["-c", PYTHON_IMPORTS]).output().is_ok_and(|output| output.status.success())
    };
    if python.exists() && has_packages(&python) {
        return Ok(python);
    }
    let packages = PYTHON_PACKAGES.join(" ");
    println!("installing {packages} into {}", environment.display());
    let made = output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
        .and_then(|_| output(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON_PACKAGES)));
    match made {
        Ok(_) if has_packages(&python) => Ok(python),
        Ok(_) => Err(format!("{packages} were installed into {} but can't be imported", environment.display())),
        Err(error) => Err(format!(
            "tests need {packages} in a Python environment, which could not be made: {error}\n\
             make it by hand: python3 -m venv {0} && {0}/bin/pip install {packages}",
            environment.display()
        )),
    }
}

fn is_installed(program: &str) -> bool {
    find(program).is_some() || Path::new("/usr/sbin").join(program).exists()
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn write_executable(file: &Path, text: &str) -> Result {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, text)
        .and_then(|()| std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("can't write {}: {error}", file.display()))
}
