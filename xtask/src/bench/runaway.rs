//! What a plugin that runs away costs another route of its worker: how long requests of that route take, alone and beside
//! each kind of runaway.
//!
//! Requests are sent at fixed times, whatever became of the ones before, and a response's time counts from when its request
//! was due: who waits behind one that waits is late as well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::plugins::{self, Kind};
use crate::process::target_directory;
use crate::traffic::server::{Origin, Proxy};

/// What the command line calls it.
pub(super) const NAME: &str = "runaway";

/// Requests per second of the other route.
const RATE: u32 = 200;
/// How long each kind is measured.
const LENGTH: Duration = Duration::from_secs(15);
/// How long a runaway runs before, so that what is measured lasts.
const BEFORE: Duration = Duration::from_secs(2);
/// The other route is as fast as this beside all of them.
const MOST: fn(Duration) -> Duration = |alone| alone * 2 + Duration::from_millis(2);

/// A plugin that hurts.
struct Runaway {
    name: &'static str,
    path: &'static str,
    /// What the plugin is told to do.
    field: &'static str,
    /// Requests per second; 0 is the other route alone.
    rate: u32,
}

const KINDS: [Runaway; 6] = [
    Runaway { name: "alone", path: "", field: "", rate: 0 },
    Runaway { name: "a loop, 8 a second", path: "/guest", field: "x-do: request_headers=loop", rate: 8 },
    Runaway { name: "a loop, 16 a second", path: "/guest", field: "x-do: request_headers=loop", rate: 16 },
    Runaway { name: "a loop that imports `calls`, 16 a second", path: "/caller", field: "x-before: loop", rate: 16 },
    Runaway { name: "calls of 9 ms, 200 a second", path: "/guest", field: "", rate: 200 },
    Runaway {
        name: "a `configure` of a second and a trap, 16 a second",
        path: "/slow",
        field: "x-do: slow/request_headers=panic",
        rate: 16,
    },
];

/// What was seen beside one kind.
struct Seen {
    name: &'static str,
    median: Duration,
    p99: Duration,
    most: Duration,
    /// CPU time of the gateway, in cores.
    cores: f64,
    /// Responses of the runaway, by status.
    answers: String,
}

/// Measures every kind, and prints a table. An error where the other route is slower than it may be, if that is asked for.
pub(super) fn run(work: &Path, gateway: &Path, origin: &Origin, ticks_per_second: f64, check: bool) -> Result {
    plugins::build(&[Kind::Guest])?;
    let guests = target_directory()?.join("guests");
    let mut all = Vec::new();
    for kind in &KINDS {
        let proxy = Proxy::gateway(work, NAME, gateway, None, |port, _, _| config(port, origin.port, &guests))?;
        proxy.wait_until_ready()?;
        let seen = measure(kind, &proxy, ticks_per_second)?;
        println!("runaway, {}: p50 {:.2?}, p99 {:.2?}, {:.2} cores", seen.name, seen.median, seen.p99, seen.cores);
        all.push(seen);
    }
    let alone = all.first().map(|seen| seen.p99).unwrap_or_default();
    println!(
        "\n| beside a plugin on another route | p50, ms | p99, ms | slowest, ms | cores | its answers |\n\
         |---|--:|--:|--:|--:|---|"
    );
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    for Seen { name, median, p99, most, cores, answers } in &all {
        println!("| {name} | {:.2} | {:.2} | {:.1} | {cores:.2} | {answers} |", ms(*median), ms(*p99), ms(*most));
    }
    println!("\nGoal: a p99 of at most {:.2} ms, 2 × its own + 2 ms.", ms(MOST(alone)));
    match all.iter().find(|seen| check && seen.p99 > MOST(alone)) {
        Some(slow) => Err(format!("another route takes {:.2} ms (p99) beside {}", ms(slow.p99), slow.name)),
        None => Ok(()),
    }
}

/// One worker, a route without a plugin and one for each that may run away.
fn config(port: u16, origin: u16, guests: &Path) -> String {
    let route = |path: &str, plugin: &str| {
        format!("  - {{name: {path}, match: {{path: {{prefix: /{path}}}}}, upstream: origin, plugins: [{plugin}]}}\n")
    };
    format!(
        "workers: 1\naccess_log: {{path: off}}\n\
         plugins: {{directory: \"{}\", grants: {{test-caller: {{upstreams: [origin]}}}}}}\n\
         listeners: [{{name: clear, address: \"127.0.0.1:{port}\", protocols: [http1]}}]\n\
         upstreams:\n  origin: {{endpoints: [\"127.0.0.1:{origin}\"], protocol: http1, keepalive: 256}}\n\
         routes:\n  - {{name: other, match: {{path: {{prefix: /1k}}}}, upstream: origin}}\n{}{}{}",
        guests.display(),
        route("guest", "{name: test-guest}"),
        route("caller", "{name: test-caller}"),
        route("slow", "{name: test-guest, config: {id: slow, configure: slow}}"),
    )
}

fn measure(kind: &Runaway, proxy: &Proxy, ticks_per_second: f64) -> Result<Seen> {
    let field = if kind.field.is_empty() { calibrated(proxy.port)? } else { kind.field.to_owned() };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As many clients as may wait for an answer at the same time.
        let clients = kind.rate.min(64);
        let loads: Vec<_> = (0..clients)
            .map(|number| {
                let (field, done) = (&field, &done);
                let (first, period) =
                    (Duration::from_secs(1) / kind.rate * number, Duration::from_secs(1) * clients / kind.rate);
                scope.spawn(move || statuses(proxy.port, kind.path, field, first, period, done))
            })
            .collect();
        std::thread::sleep(BEFORE);
        let (before, started) = (proxy.cpu_ticks()?, Instant::now());
        let took = latencies(proxy.port);
        let cores = (proxy.cpu_ticks()? - before) as f64 / ticks_per_second / started.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let answers: Vec<u16> = loads.into_iter().flat_map(|load| load.join().unwrap_or_default()).collect();
        let mut took = took?;
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Ok(Seen { name: kind.name, median: at(0.5), p99: at(0.99), most: at(1.0), cores, answers: counted(answers) })
    })
}

fn counted(mut answers: Vec<u16>) -> String {
    answers.sort_unstable();
    let counts = answers.chunk_by(|one, other| one == other).map(|same| format!("{} × {}", same.len(), same[0]));
    counts.collect::<Vec<_>>().join(", ")
}

/// How much work a call of 9 ms is on this machine: what some takes more than none, each at its fastest.
fn calibrated(port: u16) -> Result<String> {
    let mut client = Connection::open(port)?;
    let mut fastest = |work: u32| {
        let mut least = Duration::MAX;
        for _ in 0..30 {
            let began = Instant::now();
            client.get("/guest", &format!("x-do: request_headers=work-{work}"))?;
            least = least.min(began.elapsed());
        }
        Ok::<_, String>(least)
    };
    // Small enough for the limit of a call on any machine.
    let work = 1000;
    let one = fastest(work)?.saturating_sub(fastest(0)?).max(Duration::from_micros(50));
    Ok(format!("x-do: request_headers=work-{}", (9e-3 / one.as_secs_f64() * f64::from(work)) as u32))
}

/// How long each request of the other route took, from when it was due.
fn latencies(port: u16) -> Result<Vec<Duration>> {
    let mut client = Connection::open(port)?;
    let (began, mut took) = (Instant::now(), Vec::new());
    for number in 0..RATE * u32::try_from(LENGTH.as_secs()).unwrap_or(1) {
        let due = began + Duration::from_secs(1) * number / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let status = client.get("/1k", "")?;
        took.push(due.elapsed());
        if status != 200 {
            return Err(format!("the other route answered {status}"));
        }
    }
    Ok(took)
}

/// What a client of the runaway got, one request at a time.
fn statuses(port: u16, path: &str, field: &str, first: Duration, period: Duration, done: &AtomicBool) -> Vec<u16> {
    let (mut seen, mut connection) = (Vec::new(), None);
    let mut due = Instant::now() + first;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += period;
        let mut open = match connection.take().map_or_else(|| Connection::open(port), Ok) {
            Ok(open) => open,
            Err(_) => continue,
        };
        if let Ok(status) = open.get(path, field) {
            seen.push(status);
            connection = Some(open);
        }
    }
    seen
}

/// A connection over HTTP/1.1 that is used again.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status of the answer, which is read to its end.
    fn get(&mut self, path: &str, field: &str) -> Result<u16> {
        let fail = |error: std::io::Error| format!("GET {path}: {error}");
        let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).map_err(fail)?;
        let (mut status, mut length, mut line) = (None, 0_usize, String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line).map_err(fail)? == 0 {
                return Err(format!("GET {path}: the connection ended"));
            }
            let text = line.trim_end();
            if status.is_none() {
                status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
            } else if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| format!("GET {path}: {text}"))?;
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).map_err(fail)?;
        status.ok_or(format!("GET {path}: no status"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_status() {
        assert_eq!(counted(vec![503, 200, 503]), "1 × 200, 2 × 503");
        assert_eq!(counted(Vec::new()), "");
    }
}
