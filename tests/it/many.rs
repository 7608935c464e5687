//! A configuration with many of one thing: what it costs to start, and to hold.

use std::time::{Duration, Instant};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::install;
use gateway_tests::load::{Spawned, mib};

const LISTENERS: usize = 400;
/// Each worker has a socket of each listener. It takes 0.12 s in a debug build on two cores that have nothing else to do.
const START: Duration = Duration::from_secs(10);

#[test]
fn four_hundred_listeners_are_there_within_seconds_and_all_of_them_answer() {
    let listeners: String = (0..LISTENERS)
        .map(|n| format!("  - {{name: l{n}, address: \"127.0.0.1:0\", protocols: [http1, http2]}}\n"))
        .collect();
    let yaml = format!(
        "listeners:
{listeners}routes: [{{name: all, match: {{path: {{prefix: /}}}}, request_headers: {{set: {{x: y}}}}, respond: {{status: 200, body: here}}}}]
"
    );
    let began = Instant::now();
    let gateway = Spawned::start(&yaml, |_| {});
    let took = began.elapsed();
    eprintln!("{LISTENERS} listeners: {took:?}, {:.1} MiB", mib(gateway.memory()));
    assert!(took < START, "{took:?}");
    for n in 0..LISTENERS {
        let response = Client::http1(gateway.listener(&format!("l{n}"))).get("/");
        assert_eq!((response.status, response.text()), (200, "here".to_owned()), "l{n}");
    }
}

const ENTRIES: usize = 40;
const WORKERS: usize = 4;
/// What an entry may cost on a worker, in bytes of the process: its instance and what belongs to it. Twice the most that it was
/// in a debug build (36 to 52 KiB, where others use the machine).
const EACH: usize = 104 << 10;

/// A gateway with as many entries of one plugin, each with a config and a route of its own.
fn with_entries(count: usize) -> Spawned {
    let route = |n| {
        format!(
            "  - {{name: r{n}, match: {{path: {{exact: /{n}}}}}, respond: {{status: 200}}, \
             plugins: [{{name: hello-plugin, config: {{value: entry-{n}}}}}]}}\n"
        )
    };
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
workers: {WORKERS}
routes:
{}",
        (0..count).map(route).collect::<String>()
    );
    Spawned::start(&yaml, |directory| install("hello-plugin", &directory.join("plugins")))
}

/// Asks every entry over a new connection, which some worker gets.
fn ask_all(gateway: &Spawned, count: usize) {
    let mut client = Client::http1(gateway.listener("clear"));
    for n in 0..count {
        assert_eq!(client.get(&format!("/{n}")).header("x-hello"), format!("entry-{n}"));
    }
}

fn instances(gateway: &Spawned) -> usize {
    let page = Client::http1(gateway.admin()).get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix("gateway_plugin_instances{plugin=\"hello-plugin\"} "));
    line.map_or(0, |value| value.parse().expect("a number"))
}

/// Bytes of the process' memory that is code and comes from no file: what plugins were compiled to.
fn code(gateway: &Spawned) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", gateway.process.id())).expect("the process runs");
    let anonymous = maps.lines().filter(|line| line.contains(" r-xp ") && line.split_whitespace().count() == 5);
    let size = |line: &str| {
        let (from, to) = line.split_once(' ')?.0.split_once('-')?;
        Some(usize::from_str_radix(to, 16).ok()? - usize::from_str_radix(from, 16).ok()?)
    };
    anonymous.filter_map(size).sum()
}

#[test]
fn many_entries_of_a_plugin_on_many_workers_share_its_code_and_cost_their_instances() {
    // Both are there at the same time, so that they share what gateways share.
    let [one, many] = [1, ENTRIES].map(|count| {
        let gateway = with_entries(count);
        eventually("each worker has an instance of each entry", || {
            ask_all(&gateway, count);
            let there = instances(&gateway);
            (there >= count * WORKERS).then_some(()).ok_or(there)
        });
        gateway
    });
    let more = (ENTRIES - 1) * WORKERS;
    let [little, much] = [&one, &many].map(Spawned::proportional_memory);
    let each = much.saturating_sub(little) / more;
    eprintln!(
        "{ENTRIES} entries on {WORKERS} workers: {:.1} MiB, {:.1} MiB with one entry, {each} bytes each; {} KiB of code",
        mib(much),
        mib(little),
        code(&many) >> 10
    );
    assert!(each < EACH, "{each} bytes");
    assert!(code(&one) > 0);
    assert_eq!(code(&many), code(&one), "there is one copy of the code");
}
