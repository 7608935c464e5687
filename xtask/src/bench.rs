//! CPU time per request, beside NGINX.
//!
//! Wall-clock figures wobble on a shared machine; the CPU time that the kernel charges to a proxy's processes over a
//! fixed number of requests holds well enough to compare. The proxy runs on core 0, load and origin on core 1. Rounds
//! are interleaved, every sample starts its proxy afresh, and what is quoted is the median of the ratios within a
//! round, so that noise of the machine hits all alike.

mod report;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;

use crate::plugins::{self, Kind};
use crate::process::{find, output, target_directory};
use crate::traffic::load::{H3Load, Load, Protocol};
use crate::traffic::server::{Origin, Proxy};
use crate::{Result, release, setup};
use report::Sample;
use scenario::{Peer, SCENARIOS, Scenario};

/// Where the proxy runs.
const PROXY_CORE: Option<&str> = Some("0");
/// Where the load and the origin run.
const LOAD_CORE: Option<&str> = Some("1");

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these, separated by commas: h1_1k, tls_h1_1k, tls_h2_1k, h3_1k, chain_0, chain_1, chain_5, json_1m,
    /// redact.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Requests per sample; scenarios with dearer requests send fewer.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Measure this binary instead of building the one that `dist` ships.
    #[arg(long, conflicts_with = "no_pgo")]
    gateway: Option<PathBuf>,
    #[command(flatten)]
    release: release::Options,
    /// Exit with an error when h1_1k takes more than 1.5 times NGINX's time, or a plugin adds 2 µs or more.
    #[arg(long)]
    check: bool,
}

/// What all samples share.
struct Bench {
    work: PathBuf,
    gateway: PathBuf,
    plugins: PathBuf,
    h3load: Option<H3Load>,
    ticks_per_second: f64,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    let chosen = chosen(&options.scenarios)?;
    setup::tools(&[setup::NGINX, setup::H2LOAD])?;
    for (program, package) in [("taskset", "util-linux"), ("openssl", "openssl"), ("getconf", "libc-bin")] {
        if find(program).is_none() {
            return Err(format!("the benchmark needs `{program}` (Debian: {package})"));
        }
    }
    let bench = prepare(options, &chosen)?;
    let origin = Origin::start(&bench.work, LOAD_CORE)?;
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for scenario in &chosen {
            for &peer in scenario.peers {
                // A core that others use too spoils a sample now and then; one that is merely slow stays.
                let measured = measure(&bench, &origin, scenario, peer, options.requests);
                let sample = Sample { scenario: scenario.name, peer, round, measured };
                println!("{sample}");
                samples.push(sample);
                report::write_json(&samples, &target_directory()?.join("bench.json"))?;
            }
        }
    }
    report::print(&chosen, &samples);
    if let Some(invalid) = samples.iter().find(|sample| sample.measured.is_err()) {
        return Err(format!("an invalid sample: {invalid}"));
    }
    if options.check { report::check(&samples) } else { Ok(()) }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name)) {
        let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        return Err(format!("no scenario `{unknown}`; there are {}", known.join(", ")));
    }
    let wanted = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

/// Builds what is measured and what measures it, and makes the files that they need.
fn prepare(options: &Options, chosen: &[&Scenario]) -> Result<Bench> {
    let work = target_directory()?.join("bench");
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let gateway = match &options.gateway {
        Some(path) => std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => release::build(&options.release)?,
    };
    let mut plugin_directory = work.join("plugins");
    if chosen.iter().any(|scenario| scenario.needs_plugins()) {
        setup::wasm()?;
        plugin_directory = plugins::build(&[Kind::Standard, Kind::Example])?;
    }
    let over_http3 = chosen.iter().any(|scenario| scenario.protocol == Protocol::H3);
    let h3load = if over_http3 { Some(H3Load::build()?) } else { None };
    certificate(&work)?;
    let ticks = output(Command::new("getconf").arg("CLK_TCK"))?;
    let ticks_per_second = ticks.trim().parse().map_err(|_| format!("getconf CLK_TCK said {ticks:?}"))?;
    Ok(Bench { work, gateway, plugins: plugin_directory, h3load, ticks_per_second })
}

/// One certificate for all proxies, of the kind that most sites have.
fn certificate(work: &Path) -> Result {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    output(command.arg("-keyout").arg(work.join("key.pem")).arg("-out").arg(work.join("cert.pem"))).map(drop)
}

/// What one sample says.
pub(crate) struct Measured {
    /// CPU time per request, in microseconds.
    cpu_us: f64,
    /// Body bytes of each response.
    body_bytes: u64,
    /// How much of the time the proxy used its core.
    busy: f64,
}

/// Starts the peer, warms it up, and measures it over `requests` (scaled as the scenario says).
fn measure(bench: &Bench, origin: &Origin, scenario: &Scenario, peer: Peer, requests: u64) -> Result<Measured> {
    let requests = ((requests as f64 * scenario.scale) as u64).max(scenario.concurrency());
    let proxy = match peer {
        Peer::Nginx => Proxy::nginx(&bench.work, PROXY_CORE, origin.port)?,
        Peer::Gateway => Proxy::gateway(&bench.work, &bench.gateway, PROXY_CORE, |port, tls_port, _| {
            scenario.config([port, tls_port, origin.port], &bench.work, &bench.plugins)
        })?,
    };
    proxy.wait_until_ready()?;
    scenario.verify(proxy.port)?;
    let field = scenario.field();
    let load = Load {
        protocol: scenario.protocol,
        tls: scenario.tls,
        port: if scenario.tls { proxy.tls_port } else { proxy.port },
        path: scenario.path,
        clients: scenario.clients,
        field: field.as_deref(),
        body: None,
        core: LOAD_CORE,
    };
    // The size of a response as the client gets it: every later one has to be as long.
    let one = load.send(bench.h3load.as_ref(), 1)?;
    if one.body_bytes < scenario.least_body {
        return Err(format!("a response of {} bytes instead of {} or more", one.body_bytes, scenario.least_body));
    }
    load.send(bench.h3load.as_ref(), (requests / 5).max(scenario.concurrency()))?.expect_all(one.body_bytes)?;
    // Closing of connections is still under way when the load has ended.
    let settle = || std::thread::sleep(Duration::from_millis(100));
    settle();
    let (before, started) = (proxy.cpu_ticks()?, Instant::now());
    let sent = load.send(bench.h3load.as_ref(), requests)?;
    let wall = started.elapsed().as_secs_f64();
    settle();
    let seconds = (proxy.cpu_ticks()? - before) as f64 / bench.ticks_per_second;
    sent.expect_all(one.body_bytes)?;
    Ok(Measured { cpu_us: seconds * 1e6 / requests as f64, body_bytes: one.body_bytes, busy: seconds / wall })
}
