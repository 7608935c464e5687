//! `cargo xtask demo`: the gateway at work on real parts. Everything that is printed was received.

mod archive;
mod audit;
mod children;
mod client;
mod place;
mod stage;
mod steps;
mod swap;
mod trace;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::plugins::{self, Kind};
use crate::process::{announce_first_build, cargo, root, run as run_command, target_directory};
use crate::{Result, setup};
use children::Children;
use client::Clients;
use place::Place;
use stage::Stage;

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// The example in examples/ that is shown.
    #[arg(default_value = "microservices")]
    scenario: String,
    /// Verify every step, exit with an error at the first that fails, and stop everything.
    #[arg(long)]
    check: bool,
    /// A release archive whose gateway is shown. Without it, one that lies in the repository or in target/ is taken where the
    /// gateway has not been compiled here yet.
    #[arg(long)]
    archive: Option<PathBuf>,
}

/// The services of the example. The collector is there before the others have spans for it.
const SERVICES: [&str; 5] = ["collector", "inventory", "orders", "customers", "identity"];

/// How long the gateway may take to compile its plugins and start.
const START: Duration = Duration::from_secs(120);

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    let services: &[&str] = match &*options.scenario {
        "microservices" => &SERVICES,
        "audit" => &audit::SERVICES,
        other => return Err(format!("there is no scenario \"{other}\"; there are: microservices, audit")),
    };
    setup::wasm()?;
    setup::tools(&[setup::CURL, setup::PYTHON])?;
    let python = setup::python()?;
    let archived = archive::gateway(options.archive.as_deref())?;
    if archived.is_none() {
        announce_first_build()?;
    }
    let wasm = plugins::build(&[Kind::Standard, Kind::Example])?;
    let audits = options.scenario == "audit";
    let next_hello = if audits { PathBuf::new() } else { swap::build_next_version()? };
    let binary = match archived {
        Some(binary) => {
            run_command(cargo().args(["build", "--package", "microservices"]))?;
            binary
        }
        None => {
            run_command(cargo().args(["build", "--package", "gateway", "--package", "microservices"]))?;
            target_directory()?.join("debug/gateway")
        }
    };

    let place = Place::prepare(&root().join("examples").join(&options.scenario), &wasm)?;
    let children = Children::new()?;
    for service in services {
        start_service(&children, &place, service)?;
    }
    let log = place.file("gateway.log");
    let stderr = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let mut gateway = Command::new(&binary);
    gateway.args(["run", "-c"]).arg(place.file("gateway.yaml")).stderr(stderr);
    children.start("gateway", &mut gateway)?;

    let clients = Clients::new(python, root().join("examples/microservices/h3get.py"));
    let ready = place.admin("/readyz");
    stage::eventually(START, || {
        if !children.is_running("gateway") {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Some(Err(format!("the gateway ended:\n{said}")));
        }
        clients.plain(&ready).is_ok_and(|response| response.status == 200).then_some(Ok(()))
    })
    .unwrap_or_else(|| Err(format!("the gateway is not ready after {START:?}; see {}", log.display())))?;

    let mut stage = Stage::new(options.check, place, clients, children);
    if audits {
        return audit::show(&mut stage, &binary);
    }
    steps::all(&mut stage)?;
    trace::show(&mut stage)?;
    swap::show(&mut stage, &next_hello)?;
    if options.check {
        stage.scene("SIGTERM");
        let ended = stage.children.terminate("gateway", Duration::from_secs(40));
        stage.expect("the gateway drained and left with exit code 0", ended == Some(0))?;
        println!("\n{} checks passed", stage.passed());
        return Ok(());
    }
    stage.print_urls();
    loop {
        // Until Ctrl-C, which ends the process after it has stopped what was started.
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts a service and waits until it accepts connections.
fn start_service(children: &Children, place: &Place, service: &str) -> Result {
    let address = place.service(service);
    let mut command = Command::new(target_directory()?.join("debug/microservices"));
    command.args([service, "--address", &address]).stdout(Stdio::null());
    if service != "collector" {
        command.arg("--collector").arg(format!("http://{}", place.service("collector")));
        command.args(["--inventory", &place.service("inventory")]);
    }
    children.start(service, &mut command)?;
    stage::eventually(Duration::from_secs(20), || std::net::TcpStream::connect(&address).ok())
        .map(drop)
        .ok_or_else(|| format!("the service {service} does not listen on {address}"))
}
