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

/// What is asked for: the path, its name in the table, and whether something has to be masked in it. (Of random digits
/// some may.)
const TEXTS: [(&str, &str, bool); 6] = [
    ("/files/json/clean-JSON", "clean JSON", false),
    ("/files/json/dense-JSON", "dense JSON", true),
    ("/files/json/digits", "digits", false),
    ("/files/text/log-lines", "log lines", false),
    ("/files/text/prose", "prose", false),
    ("/files/json/answer", "a JSON answer of 3 KB", false),
];

/// CPU seconds of one response, and its size.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    bytes: u64,
}

/// Measures a gateway; `worker` is the program that writes the texts.
pub(super) fn run(mut worker: Command, binary: &Path, plugins: Option<&Path>, rounds: usize) -> Result {
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
    for (path, name, masked) in TEXTS {
        let [without, with] = [false, true].map(|redact| {
            let start = || start(&work, &binary, redact.then_some(plugins.as_path()), &origin);
            (0..rounds.max(1)).map(|_| measure(&start()?, path, redact && masked, ticks)).collect::<Result<Vec<_>>>()
        });
        row(name, median(without?), median(with?));
    }
    Ok(())
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

fn row(name: &str, without: Cost, with: Cost) {
    let speed = |cost: Cost| format!("{:.0} MB/s", cost.bytes as f64 / 1e6 / cost.seconds);
    let each = |cost: Cost| format!("{:.1} µs", cost.seconds * 1e6);
    let added = with.seconds - without.seconds;
    if without.bytes > 100_000 {
        let per_byte = added * 1e9 / without.bytes as f64;
        println!("| {name} | {} | {} | {per_byte:.2} ns a byte |", speed(without), speed(with));
    } else {
        println!("| {name} | {} | {} | {:.1} µs |", each(without), each(with), added * 1e6);
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
}
