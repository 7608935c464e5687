//! CPU time per request, beside NGINX.
//!
//! Wall-clock figures wobble on a shared machine; the CPU time that the kernel charges to a proxy's processes over a
//! fixed number of requests holds well enough to compare. The proxy runs on core 0, load and origin on core 1. Rounds
//! are interleaved, every sample starts its proxy afresh, and what is quoted is the median of the ratios within a
//! round, so that noise of the machine hits all alike.
//!
//! What one plugin adds is a tenth of a request, less than the machine wobbles from one second to the next, so a gateway
//! with it and one without are measured at the same time, side by side on one core.
//!
//! Beside that, `runaway` measures how long requests take while a plugin of another route runs away.

mod instructions;
mod report;
mod runaway;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;

use crate::plugins::{self, Kind};
use crate::process::{find, output, target_directory, ticks_per_second};
use crate::traffic::load::{H3Load, Load, Protocol, Sent};
use crate::traffic::server::{Origin, Proxy};
use crate::{Result, release, setup};
use report::Sample;
use scenario::{Peer, Plugins, SCENARIOS, Scenario};

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
    /// redact, runaway.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Requests per sample; scenarios with dearer requests send fewer.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Measure this binary instead of building the one that `dist` ships.
    #[arg(long, conflicts_with = "no_pgo")]
    gateway: Option<PathBuf>,
    /// Count instructions per request with callgrind instead, beside the figures that are kept. Best with `--no-pgo` or a
    /// binary of a plain release build, whose code does not follow a profile.
    #[arg(long, conflicts_with_all = ["scenarios", "rounds"])]
    instructions: bool,
    /// With `--instructions`: keep the new figures.
    #[arg(long, requires = "instructions")]
    keep: bool,
    #[command(flatten)]
    release: release::Options,
    /// Exit with an error when h1_1k takes more than 1.5 times NGINX's time, a plugin adds 2 µs or more, or
    /// another route's p99 beside a runaway is above 2 × its own + 2 ms; with `--instructions`, when a request costs 3 %
    /// more than it did.
    #[arg(long)]
    check: bool,
}

/// What all samples share.
#[derive(Clone)]
struct Bench {
    work: PathBuf,
    gateway: PathBuf,
    plugins: PathBuf,
    h3load: Option<H3Load>,
    ticks_per_second: f64,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result {
    let chosen = if options.instructions { instructions::counted() } else { chosen(&options.scenarios)? };
    let runs_away = options.scenarios.is_empty() || options.scenarios.iter().any(|name| name == runaway::NAME);
    setup::tools(&[setup::NGINX, setup::H2LOAD])?;
    if options.instructions {
        setup::tools(&[setup::VALGRIND])?;
    }
    for (program, package) in [("taskset", "util-linux"), ("openssl", "openssl"), ("getconf", "libc-bin")] {
        if find(program).is_none() {
            return Err(format!("the benchmark needs `{program}` (Debian: {package})"));
        }
    }
    let bench = prepare(options, &chosen)?;
    let origin = Origin::start(&bench.work, LOAD_CORE)?;
    if options.instructions {
        return instructions::run(&bench, &origin, options.keep, options.check);
    }
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        for together in together(&chosen) {
            // A core that others use too spoils a sample now and then; one that is merely slow stays.
            let measured = measure(&bench, &origin, &together, options.requests);
            for (at, (scenario, peer)) in together.into_iter().enumerate() {
                let measured = measured.as_ref().map(|all| all[at]).map_err(String::clone);
                let sample = Sample { scenario: scenario.name, peer, round, measured };
                println!("{sample}");
                samples.push(sample);
            }
            report::write_json(&samples, &target_directory()?.join("bench.json"))?;
        }
    }
    if !chosen.is_empty() {
        report::print(&chosen, &samples);
    }
    if runs_away {
        runaway::run(&bench.work, &bench.gateway, &origin, bench.ticks_per_second, options.check)?;
    }
    if let Some(invalid) = samples.iter().find(|sample| sample.measured.is_err()) {
        return Err(format!("an invalid sample: {invalid}"));
    }
    if options.check && !chosen.is_empty() { report::check(&samples) } else { Ok(()) }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).chain([runaway::NAME]).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
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
    let ticks_per_second = ticks_per_second()?;
    Ok(Bench { work, gateway, plugins: plugin_directory, h3load, ticks_per_second })
}

/// One certificate for all proxies, of the kind that most sites have.
fn certificate(work: &Path) -> Result {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    output(command.arg("-keyout").arg(work.join("key.pem")).arg("-out").arg(work.join("cert.pem"))).map(drop)
}

/// Who is measured at the same time, in the order of a round: no plugin and one together, everything else alone.
fn together(chosen: &[&'static Scenario]) -> Vec<Vec<(&'static Scenario, Peer)>> {
    let few = |scenario: &Scenario| matches!(scenario.plugins, Plugins::Headers(0 | 1));
    let mut groups: Vec<Vec<(&Scenario, Peer)>> = Vec::new();
    for &scenario in chosen {
        for &peer in scenario.peers {
            match groups.last_mut() {
                Some(last) if few(scenario) && few(last[0].0) => last.push((scenario, peer)),
                _ => groups.push(vec![(scenario, peer)]),
            }
        }
    }
    groups
}

/// What one sample says.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// CPU time per request, in microseconds.
    cpu_us: f64,
    /// Body bytes of each response.
    body_bytes: u64,
    /// How much of the time the core was used, by all that were measured on it.
    busy: f64,
}

/// A proxy that is warm.
struct Subject<'a> {
    bench: &'a Bench,
    scenario: &'a Scenario,
    proxy: Proxy,
    requests: u64,
    /// Body bytes of a response.
    body_bytes: u64,
}

impl<'a> Subject<'a> {
    /// Starts the peer and warms it up for a measurement over `requests` (scaled as the scenario says).
    fn start(bench: &'a Bench, origin: &Origin, scenario: &'a Scenario, peer: Peer, requests: u64) -> Result<Self> {
        let requests = ((requests as f64 * scenario.scale) as u64).max(scenario.concurrency());
        let proxy = match peer {
            Peer::Nginx => Proxy::nginx(&bench.work, PROXY_CORE, origin.port)?,
            Peer::Gateway => {
                Proxy::gateway(&bench.work, scenario.name, &bench.gateway, PROXY_CORE, |port, tls_port, _| {
                    scenario.config([port, tls_port, origin.port], &bench.work, &bench.plugins)
                })?
            }
        };
        proxy.wait_until_ready()?;
        scenario.verify(proxy.port)?;
        let mut subject = Self { bench, scenario, proxy, requests, body_bytes: 0 };
        // The size of a response as the client gets it: every later one has to be as long.
        subject.body_bytes = subject.send(1)?.body_bytes;
        if subject.body_bytes < scenario.least_body {
            return Err(format!(
                "a response of {} bytes instead of {} or more",
                subject.body_bytes, scenario.least_body
            ));
        }
        subject.send((requests / 5).max(scenario.concurrency()))?.expect_all(subject.body_bytes)?;
        Ok(subject)
    }

    fn send(&self, requests: u64) -> Result<Sent> {
        let scenario = self.scenario;
        let field = scenario.field();
        let load = Load {
            protocol: scenario.protocol,
            tls: scenario.tls,
            port: if scenario.tls { self.proxy.tls_port } else { self.proxy.port },
            path: scenario.path,
            clients: scenario.clients,
            field: field.as_deref(),
            body: None,
            core: LOAD_CORE,
        };
        load.send(self.bench.h3load.as_ref(), requests)
    }
}

/// Measures proxies at the same time, each under its own load.
fn measure(bench: &Bench, origin: &Origin, together: &[(&Scenario, Peer)], requests: u64) -> Result<Vec<Measured>> {
    let mut subjects = Vec::new();
    for &(scenario, peer) in together {
        let subject = Subject::start(bench, origin, scenario, peer, requests);
        subjects.push(subject.map_err(|error| format!("{}: {error}", scenario.name))?);
    }
    let ticks = || subjects.iter().map(|subject| subject.proxy.cpu_ticks()).collect::<Result<Vec<_>>>();
    // Closing of connections is still under way when the load has ended.
    let settle = || std::thread::sleep(Duration::from_millis(100));
    settle();
    let (before, started) = (ticks()?, Instant::now());
    let sent: Vec<Result<Sent>> = std::thread::scope(|scope| {
        let load = |subject| scope.spawn(move || Subject::send(subject, subject.requests));
        let loads: Vec<_> = subjects.iter().map(load).collect();
        loads.into_iter().map(|load| load.join().unwrap_or_else(|_| Err("the load failed".to_owned()))).collect()
    });
    let wall = started.elapsed().as_secs_f64();
    settle();
    let after = ticks()?;
    let seconds = |at: usize| (after[at] - before[at]) as f64 / bench.ticks_per_second;
    let busy = (0..subjects.len()).map(seconds).sum::<f64>() / wall;
    let mut measured = Vec::new();
    for (at, (subject, sent)) in subjects.iter().zip(sent).enumerate() {
        let complete = sent.and_then(|sent| sent.expect_all(subject.body_bytes));
        complete.map_err(|error| format!("{}: {error}", subject.scenario.name))?;
        let cpu_us = seconds(at) * 1e6 / subject.requests as f64;
        measured.push(Measured { cpu_us, body_bytes: subject.body_bytes, busy });
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_plugin_and_one_are_measured_together_and_all_else_alone() {
        let chosen = chosen(&["redact", "chain_5", "chain_1", "chain_0", "h1_1k"].map(str::to_owned)).unwrap();
        let names = |group: Vec<(&Scenario, Peer)>| group.iter().map(|(scenario, _)| scenario.name).collect::<Vec<_>>();
        let groups: Vec<_> = together(&chosen).into_iter().map(names).collect();
        assert_eq!(groups, [vec!["h1_1k"], vec!["h1_1k"], vec!["chain_0", "chain_1"], vec!["chain_5"], vec!["redact"]]);
    }
}
