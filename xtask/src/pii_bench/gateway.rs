//! CPU time of the whole gateway for each byte of a response, with pii-redact on the route and without.
//!
//! As in the benchmark, the proxy runs on core 0, load and origin on core 1, and what counts is the CPU time that the kernel
//! charges to the gateway's process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::plugins::{self, Kind};
use crate::process::{run as run_command, target_directory, ticks_per_second};
use crate::traffic::load::{Load, Protocol};
use crate::traffic::server::{Origin, Proxy, get};
use crate::{Result, setup};

const PROXY_CORE: Option<&str> = Some("0");
const LOAD_CORE: Option<&str> = Some("1");
/// CPU time of one measurement: its clock has steps of 10 ms.
const LONG_ENOUGH: f64 = 0.6;

/// A text, and what is to be reached with it.
struct Text {
    path: &'static str,
    name: &'static str,
    /// Something has to be masked in it. (Of random digits some may.)
    masked: bool,
    goal: Goal,
}

/// What has to be reached with the plugin on the route.
enum Goal {
    /// MB/s of CPU time at least.
    Speed(f64),
    /// Microseconds that are added to a response at most.
    Added(f64),
}

const TEXTS: [Text; 6] = [
    Text { path: "/files/json/clean-JSON", name: "clean JSON", masked: false, goal: Goal::Speed(400.0) },
    Text { path: "/files/json/dense-JSON", name: "dense JSON", masked: true, goal: Goal::Speed(150.0) },
    Text { path: "/files/json/digits", name: "digits", masked: false, goal: Goal::Speed(100.0) },
    Text { path: "/files/text/log-lines", name: "log lines", masked: false, goal: Goal::Speed(200.0) },
    Text { path: "/files/text/prose", name: "prose", masked: false, goal: Goal::Speed(600.0) },
    Text { path: "/files/json/answer", name: "a JSON answer of 3 KB", masked: false, goal: Goal::Added(15.0) },
];

/// CPU seconds of one response, and its size.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    bytes: u64,
}

impl Cost {
    /// MB of a response per second.
    fn speed(self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    fn microseconds(self) -> f64 {
        self.seconds * 1e6
    }
}

impl Goal {
    fn is_met(&self, without: Cost, with: Cost) -> bool {
        match *self {
            Self::Speed(least) => with.speed() >= least,
            Self::Added(most) => with.microseconds() - without.microseconds() <= most,
        }
    }
}

/// Measures a gateway; `worker` is the program that writes the texts. With `check`, a goal that is missed is an error.
pub(super) fn run(mut worker: Command, binary: &Path, plugins: Option<&Path>, rounds: usize, check: bool) -> Result {
    setup::tools(&[setup::NGINX, setup::H2LOAD])?;
    let work = target_directory()?.join("pii-bench/gateway");
    run_command(worker.arg("--write-texts").arg(work.join("files")))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
    let plugins = match plugins {
        Some(directory) => absolute(directory)?,
        None => {
            setup::wasm()?;
            plugins::build(&[Kind::Standard])?
        }
    };
    let (binary, ticks) = (absolute(binary)?, ticks_per_second()?);
    let origin = Origin::start(&work, LOAD_CORE)?;
    println!("| Text | Without | With pii-redact | Added |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for text in &TEXTS {
        let [without, with] = [false, true].map(|redact| {
            let start = || start(&work, &binary, redact.then_some(plugins.as_path()), &origin);
            let measure = |_| measure(&start()?, text.path, redact && text.masked, ticks);
            (0..rounds.max(1)).map(measure).collect::<Result<Vec<_>>>()
        });
        let (without, with) = (median(without?), median(with?));
        row(text, without, with);
        if !text.goal.is_met(without, with) {
            missed.push(text.name);
        }
    }
    if missed.is_empty() || !check { Ok(()) } else { Err(format!("slower than the goal: {}", missed.join(", "))) }
}

fn start(work: &Path, binary: &Path, plugins: Option<&Path>, origin: &Origin) -> Result<Proxy> {
    let (directory, entries) = match plugins {
        Some(plugins) => (
            format!("plugins: {{directory: \"{}\"}}\n", plugins.display()),
            "    plugins: [{name: pii-redact, config: {}}]\n",
        ),
        None => (String::new(), ""),
    };
    let proxy = Proxy::gateway(work, "proxy", binary, PROXY_CORE, |port, _, _| {
        format!(
            "workers: 1\naccess_log: {{path: off}}\n{directory}\
             listeners:\n  - {{name: cleartext, address: \"127.0.0.1:{port}\", protocols: [http1]}}\n\
             upstreams:\n  origin: {{endpoints: [\"127.0.0.1:{}\"], protocol: http1, keepalive: 256}}\n\
             routes:\n  - name: all\n    match: {{path: {{prefix: /}}}}\n    upstream: origin\n{entries}",
            origin.port
        )
    })?;
    proxy.wait_until_ready()?;
    Ok(proxy)
}

/// Sends twice as many requests each time, until they take long enough.
fn measure(proxy: &Proxy, path: &str, masked: bool, ticks_per_second: f64) -> Result<Cost> {
    if masked && !get(proxy.port, path, "")?.contains("***") {
        return Err(format!("nothing is masked in {path}"));
    }
    let load = Load {
        protocol: Protocol::H1,
        tls: false,
        port: proxy.port,
        path,
        clients: (4, 1),
        field: None,
        body: None,
        core: LOAD_CORE,
    };
    let bytes = load.send(None, 1)?.body_bytes;
    let mut requests = 8;
    loop {
        let before = proxy.cpu_ticks()?;
        load.send(None, requests)?.expect_all(bytes)?;
        // Closing of connections is still under way when the load has ended.
        std::thread::sleep(Duration::from_millis(50));
        let seconds = (proxy.cpu_ticks()? - before) as f64 / ticks_per_second;
        if seconds >= LONG_ENOUGH {
            return Ok(Cost { seconds: seconds / requests as f64, bytes });
        }
        requests *= 2;
    }
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    costs[costs.len() / 2]
}

fn row(text: &Text, without: Cost, with: Cost) {
    let name = text.name;
    match text.goal {
        Goal::Speed(_) => {
            let per_byte = (with.seconds - without.seconds) * 1e9 / without.bytes as f64;
            println!("| {name} | {:.0} MB/s | {:.0} MB/s | {per_byte:.2} ns a byte |", without.speed(), with.speed());
        }
        Goal::Added(_) => {
            let [without, with] = [without, with].map(Cost::microseconds);
            println!("| {name} | {without:.1} µs | {with:.1} µs | {:.1} µs |", with - without);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_costs_the_middle_one_counts() {
        let costs = [3.0, 1.0, 2.0].map(|seconds| Cost { seconds, bytes: 1 });
        assert_eq!(median(costs.to_vec()).seconds.to_bits(), 2.0_f64.to_bits());
    }

    #[test]
    fn goals() {
        let [fast, slow] = [1.0, 2.0].map(|seconds| Cost { seconds, bytes: 300_000_000 });
        assert!(Goal::Speed(300.0).is_met(slow, fast) && !Goal::Speed(300.0).is_met(fast, slow));
        assert!(Goal::Added(1e6).is_met(fast, slow) && !Goal::Added(0.9e6).is_met(fast, slow));
    }
}
