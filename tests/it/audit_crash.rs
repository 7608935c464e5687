//! A gateway that is killed under load: no exchange whose client has its last byte is missing from the trail.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway_tests::audit::{DECLARED, ask, exchanges, fill, sections};
use gateway_tests::client::Client;
use gateway_tests::process::Process;
use gateway_tests::upstream::{Upstream, text};

const KILLS: usize = 5;
const CLIENTS: usize = 8;

/// Asks until the gateway is gone; the ids of the requests that were answered to the end.
fn load(address: SocketAddr, stop: &AtomicBool, answered: &Mutex<BTreeSet<String>>) {
    let mut client = Client::http1(address);
    while !stop.load(Relaxed) {
        match client.try_send(http::Request::get("/"), "") {
            Ok(response) if response.status == 200 => {
                answered.lock().expect("no poison").insert(response.header("x-request-id").to_owned());
            }
            _ => return,
        }
    }
}

#[test]
fn no_acknowledged_record_is_lost_when_the_gateway_is_killed_under_load() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let directory = tempfile::tempdir().expect("a directory");
    let address = SocketAddr::from(([127, 0, 0, 1], gateway_tests::free_port()));
    let yaml = format!(
        "listeners: [{{name: clear, address: \"{address}\", protocols: [http1]}}]
log: {{format: json}}
access_log: off
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
{}routes: [{{name: all, upstream: one, {DECLARED}}}]
",
        upstream.address(),
        sections("")
    );
    let config = directory.path().join("gateway.yaml");
    std::fs::write(&config, yaml).expect("written");
    fill(directory.path());
    let answered: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    for kill in 0..KILLS {
        let mut process = Process::start(&config);
        process.wait_for("listening");
        let stop = Arc::new(AtomicBool::new(false));
        let before = answered.lock().expect("no poison").len();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (stop, answered) = (stop.clone(), answered.clone());
                std::thread::spawn(move || load(address, &stop, &answered))
            })
            .collect();
        // At another moment each time, as many answers in.
        gateway_tests::eventually("enough answers", || {
            let count = answered.lock().expect("no poison").len() - before;
            if count >= 20 + kill * 17 { Ok(()) } else { Err(count) }
        });
        std::thread::sleep(Duration::from_micros(kill as u64 * 1370));
        process.signal("KILL");
        process.wait();
        stop.store(true, Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no panic"));
    }
    // The next start cuts what was torn.
    let mut process = Process::start(&config);
    process.wait_for("listening");
    process.terminate();
    process.wait();
    let (code, text, said) = ask(directory.path(), &["verify", "audit"]);
    assert_eq!(code, 0, "{text}{said}");
    let ended = exchanges(directory.path()).into_iter().filter(|found| found.closing.is_some());
    let ended: BTreeSet<String> = ended.map(|found| found.opening.request.to_string()).collect();
    let answered = answered.lock().expect("no poison");
    let lost: Vec<&String> = answered.difference(&ended).collect();
    assert!(lost.is_empty() && answered.len() >= 20 * KILLS, "{} of {} are lost", lost.len(), answered.len());
}
