//! What signals do to a `gateway` process, from its first moment to its last.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::load::{Service, Spawned};
use gateway_tests::process::Process;

fn fixed(body: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: {body}}}}}]
"
    )
}

#[test]
fn sighup_opens_the_log_anew_and_reads_the_configuration_and_sigint_drains() {
    let mut gateway = Spawned::start(&fixed("before"), |_| {});
    let mut client = Client::http1(gateway.listener("clear"));
    assert_eq!(client.get("/one").text(), "before");
    eventually("the first record", || (gateway.access_log().len() == 1).then_some(()));

    let (log, moved) = (gateway.directory().join("access.log"), gateway.directory().join("access.log.1"));
    std::fs::rename(&log, &moved).expect("moved");
    gateway.configure(&fixed("after"));
    gateway.process.signal("HUP");
    eventually("the new configuration", || (client.get("/two").text() == "after").then_some(()));
    eventually("a new log", || log.exists().then_some(()));
    assert_eq!(client.get("/three").text(), "after");
    let paths = eventually("its record", || {
        let paths: Vec<_> = gateway.access_log().iter().map(|line| line["path"].clone()).collect();
        paths.iter().any(|path| path == "/three").then_some(paths)
    });
    assert!(!paths.iter().any(|path| path == "/one"), "{paths:?}");
    let old = std::fs::read_to_string(moved).expect("the old log");
    assert!(old.contains("/one") && !old.contains("/three"), "{old}");

    gateway.process.signal("INT");
    assert_eq!(gateway.process.wait().code(), Some(0));
}

/// A configuration whose start takes its time, and says that it has begun.
fn slow_start(directory: &Path) -> PathBuf {
    let config = directory.join("gateway.yaml");
    std::fs::create_dir(directory.join("plugins")).expect("a directory");
    gateway_tests::gateway::install("test-guest", &directory.join("plugins"));
    let yaml = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]
plugins: {directory: plugins}
routes: [{name: r, plugins: [{name: test-guest, config: {configure: slow}}], respond: {status: 200}}]
log: {format: json, level: debug}
workers: 1
";
    std::fs::write(&config, yaml).expect("written");
    config
}

#[test]
fn a_signal_during_the_start_is_heard() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut gateway = Process::start(&slow_start(directory.path()));
    gateway.wait_for("file descriptor limit");
    gateway.signal("HUP");
    gateway.wait_for("listening");
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));

    let directory = tempfile::tempdir().expect("a directory");
    let mut gateway = Process::start(&slow_start(directory.path()));
    gateway.wait_for("file descriptor limit");
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0), "nothing was accepted, so nothing is lost");
}

#[test]
fn what_comes_of_a_sighup_is_told_also_where_it_is_nothing_and_a_good_file_after_a_refused_one() {
    let gateway = Spawned::start(&fixed("served"), |_| {});
    gateway.process.signal("HUP");
    gateway.process.wait_for("configuration unchanged");
    let refused = || {
        let page = Client::http1(gateway.admin()).get("/metrics").text();
        page.lines().any(|line| line == "gateway_config_refused 1")
    };
    assert!(!refused());
    gateway.configure("listeners: 5");
    gateway.process.wait_for("the new configuration is refused");
    assert!(refused());
    gateway.configure(&fixed("served"));
    gateway.process.wait_for("the files are again those of the configuration in force");
    assert!(!refused());
}

fn with_drain(drain: &str) -> String {
    format!("{}drain: {drain}\n", fixed("served"))
}

/// Sends SIGTERM to a gateway with a delay, and gives back the connections that it had before: of a client, and of whoever
/// asks for readiness.
fn terminated(gateway: &Spawned) -> (Client, Client) {
    let (mut client, mut admin) = (Client::http1(gateway.listener("clear")), Client::http1(gateway.admin()));
    assert_eq!((client.get("/").status, admin.get("/readyz").status), (200, 200));
    gateway.process.terminate();
    eventually("readiness fails", || (admin.get("/readyz").status == 503).then_some(()));
    (client, admin)
}

#[test]
fn after_sigterm_readiness_fails_at_once_and_connections_are_accepted_until_the_delay_is_over() {
    let mut gateway = Spawned::start(&with_drain("{delay: 3s, timeout: 20s}"), |_| {});
    let began = Instant::now();
    let (mut client, mut admin) = terminated(&gateway);
    // Whatever the machine's load: as long as the delay has not been over, nobody is refused or told to leave.
    let mut served = 0;
    while began.elapsed() < Duration::from_millis(2500) {
        let fresh = Client::http1(gateway.listener("clear")).try_send(http::Request::get("/"), "");
        let (kept, readiness) = (client.try_send(http::Request::get("/"), ""), admin.get("/readyz").status);
        if began.elapsed() >= Duration::from_millis(2900) {
            break;
        }
        let (fresh, kept) = (fresh.expect("a new connection is accepted"), kept.expect("the old one goes on"));
        assert!(fresh.header("connection").is_empty() && kept.header("connection").is_empty(), "too early");
        assert_eq!((fresh.status, kept.status, readiness), (200, 200, 503));
        served += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(served > 0, "the machine was too busy to tell");
    gateway.process.wait_for("draining");
    assert_eq!(gateway.process.wait().code(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn sigint_does_not_wait_for_balancers() {
    let mut gateway = Spawned::start(&with_drain("{delay: 10m, timeout: 20s}"), |_| {});
    gateway.process.signal("INT");
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_delay() {
    for second in ["TERM", "INT"] {
        let mut gateway = Spawned::start(&with_drain("{delay: 10m, timeout: 10m}"), |_| {});
        gateway.process.terminate();
        gateway.process.wait_for("no longer ready");
        // Logs may be moved meanwhile; that is no second signal.
        gateway.process.signal("HUP");
        assert_eq!(Client::http1(gateway.listener("clear")).get("/").status, 200);
        gateway.process.signal(second);
        assert!(matches!(gateway.process.wait().code(), Some(0 | 3)));
    }
}

#[test]
fn a_second_signal_cuts_what_a_drain_waits_for() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let upstream = Service::start(move |_| {
        arrived.send(()).expect("the test waits");
        std::future::pending()
    });
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{service: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
drain_timeout: 10m
",
        upstream.address()
    );
    for second in ["TERM", "INT"] {
        let mut gateway = Spawned::start(&yaml, |_| {});
        let address = gateway.listener("clear");
        let client = std::thread::spawn(move || Client::http1(address).try_send(http::Request::get("/held"), ""));
        arrivals.recv().expect("the request arrives");
        gateway.process.terminate();
        gateway.process.wait_for("draining");
        let began = Instant::now();
        gateway.process.signal(second);
        assert_eq!(gateway.process.wait().code(), Some(3));
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert!(client.join().expect("no panic").is_err(), "it was cut");
        eventually("the record of what was cut", || {
            gateway.access_log().iter().any(|line| line["path"] == "/held").then_some(())
        });
    }
}
