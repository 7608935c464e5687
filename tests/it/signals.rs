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
