//! Plugins that use more than their part: what is left for the other routes of their worker, and when they are stopped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::process::Process;
use gateway_tests::upstream::{Upstream, text};

/// One worker; the route `/plugin` with one entry, and `/other` with none.
fn yaml(upstream: &Upstream, entry: &str, plugins: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins, {plugins}}}
upstreams:
  one: {{endpoints: [\"{upstream}\"]}}
  side: {{endpoints: [\"{upstream}\"]}}
routes:
  - {{name: plugin, match: {{path: {{prefix: /plugin}}}}, upstream: one, plugins: [{{{entry}}}]}}
  - {{name: other, match: {{path: {{prefix: /other}}}}, upstream: one}}
workers: 1
",
        upstream = upstream.address()
    )
}

fn upstream() -> Upstream {
    Upstream::start(|_| text(200, "good"))
}

/// How often another route answers, one request after the other, while a call loops until its time is up.
fn answered_meanwhile(gateway: &TestGateway, header: (&'static str, &'static str)) -> usize {
    let address = gateway.address();
    let looping = std::thread::spawn(move || Client::http1(address).get_with("/plugin", &[header]).status);
    let (mut other, mut answered) = (Client::http1(address), 0);
    while !looping.is_finished() {
        assert_eq!(other.get("/other").status, 200);
        answered += 1;
    }
    assert_eq!(looping.join().expect("no panic"), 503);
    answered
}

/// Two seconds of CPU time are far more than a few requests need, on any machine; those that come before the call do not
/// make up for it.
#[test]
fn a_call_that_takes_long_stops_the_other_routes_of_its_worker() {
    let upstream = upstream();
    for (plugin, grants, header) in [
        ("test-guest", "", ("x-do", "request_headers=loop")),
        ("test-caller", "grants: {test-caller: {upstreams: [side]}}, ", ("x-before", "loop")),
    ] {
        let limits = format!("{grants}limits: {{{plugin}: {{cpu: 2s}}}}");
        let gateway = TestGateway::start(&yaml(&upstream, &format!("name: {plugin}"), &limits), &[plugin]);
        let answered = answered_meanwhile(&gateway, header);
        assert!(answered > 50, "{plugin}: {answered}");
    }
}

/// After an overrun, on stacks of their own.
#[test]
fn calls_that_take_turns_come_to_their_end() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest", ""), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let looped = client.get_with("/plugin", &[("x-do", "request_headers=loop")]);
    assert_eq!(looped.status, 503);
    // Calls that take turns: good ones, and many at a time, come to their end.
    let ways: Vec<_> = (0..8)
        .map(|_| {
            let address = gateway.address();
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                (0..10).filter(|_| client.get("/plugin").status == 200).count()
            })
        })
        .collect();
    assert_eq!(ways.into_iter().map(|way| way.join().expect("no panic")).sum::<usize>(), 80);
    let mut body = Client::http1(gateway.address());
    let verbs = "request_headers=chunks,request_body=upper,response_headers=chunks,response_body=upper";
    let sent = body.send(http::Request::post("/plugin").header("x-do", verbs), vec![b'x'; 300 << 10]);
    assert_eq!((sent.status, sent.text()), (200, "GOOD".to_owned()));
}

#[test]
fn a_plugin_that_overruns_at_each_request_is_called_at_each_request() {
    let upstream = upstream();
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest", ""), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let paused = (0..200).find_map(|number| {
        let path = format!("/plugin/{number}");
        let answer = client.get_with(&path, &[("x-do", "request_headers=loop")]);
        assert_eq!(answer.status, 503);
        let line = gateway.logged(&path, |line| line["path"] == path);
        line["detail"].as_str()?.contains("not called for").then(|| answer.header("retry-after").to_owned())
    });
    assert_eq!(paused.as_deref(), Some("1"), "paused after a few");
    assert!(gateway.metric("gateway_plugin_failures_total", &["test-guest", "penalty"]) >= 1.0);
    assert!(gateway.metric("gateway_plugin_pauses_total", &["test-guest", "route=\"plugin\""]) >= 1.0);
    assert_eq!(client.get("/other").status, 200, "the other route is well");
    eventually("the pause ends", || {
        let status = client.get("/plugin").status;
        if status == 200 { Ok(()) } else { Err(status) }
    });
}

/// `configure` takes one and a half seconds, and every call traps.
#[test]
fn a_plugin_that_is_dear_to_make_and_traps_at_once_is_made_anew_at_each_request() {
    let upstream = upstream();
    let entry = "name: test-guest, config: {id: a, configure: slow}";
    let gateway = TestGateway::start(&yaml(&upstream, entry, ""), &["test-guest"]);
    let mut client = Client::http1(gateway.address());
    let refused = (0..50).any(|number| {
        let path = format!("/plugin/{number}");
        assert_eq!(client.get_with(&path, &[("x-do", "request_headers=panic")]).status, 503);
        let line = gateway.logged(&path, |line| line["path"] == path);
        line["detail"].as_str().is_some_and(|detail| detail.contains("no instance is made for"))
    });
    assert!(refused);
    assert!(gateway.metric("gateway_plugin_pauses_total", &["test-guest"]) >= 1.0);
    // Another version of the file has done nothing yet.
    let plugins = gateway.directory().join("plugins");
    gateway_tests::guests::put(&plugins, "test-guest.wasm", &gateway_tests::guests::other_build());
    eventually("the other build serves", || {
        let answer = client.get("/plugin");
        if answer.header("x-build").ends_with("-B") { Ok(()) } else { Err(answer.status) }
    });
}

/// A hundredth of the worker's time, and more clients than may wait for it.
#[test]
fn an_entry_uses_more_of_its_worker_than_its_share() {
    let upstream = upstream();
    let limits = "limits: {test-guest: {cpu_share: 1%, cpu: 1s}}";
    let gateway = TestGateway::start(&yaml(&upstream, "name: test-guest", limits), &["test-guest"]);
    let (refused, start) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(40)));
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let (address, refused, start) = (gateway.address(), refused.clone(), start.clone());
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                start.wait();
                while refused.load(Ordering::Relaxed) == 0 {
                    let answer = client.get_with("/plugin", &[("x-do", "request_headers=work-4000")]);
                    if answer.status == 503 {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let mut other = Client::http1(gateway.address());
    eventually("some are refused", || {
        assert_eq!(other.get("/other").status, 200);
        if refused.load(Ordering::Relaxed) > 0 { Ok(()) } else { Err(()) }
    });
    assert!(gateway.metric("gateway_plugin_failures_total", &["test-guest", "share"]) >= 1.0);
    drop(gateway);
    clients.into_iter().for_each(|client| drop(client.join()));
}

#[test]
fn a_bad_share_is_refused_at_its_place() {
    let upstream = upstream();
    for (bad, said) in [("0%", "0%"), ("120%", "120%"), ("\"0.5\"", "0.5"), ("50", "50")] {
        let yaml = yaml(&upstream, "name: test-guest", &format!("limits: {{test-guest: {{cpu_share: {bad}}}}}"));
        let error = TestGateway::try_start(&yaml, &["test-guest"]).err().unwrap_or_default();
        assert!(error.contains("expected a share from 1% to 100%") && error.contains(said), "{bad}: {error}");
        assert!(error.contains(":2:"), "{error}");
    }
}

#[test]
fn what_a_plugin_costs_is_told_by_route_and_without_what_it_waited() {
    let side = Upstream::start_async(|request| async move {
        if request.target == "/called" {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        text(200, "good")
    });
    let yaml = yaml(&side, "name: test-caller", "grants: {test-caller: {upstreams: [side]}}").replace(
        "routes:\n",
        "routes:\n  - {name: again, match: {path: {prefix: /again}}, upstream: one, plugins: [{name: test-caller}]}\n",
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/plugin").status, 200);
    let of = |metric: &str, route: &str| gateway.metric(metric, &["test-caller", &format!("route=\"{route}\"")]);
    let waited = gateway.metric("gateway_plugin_seconds_total", &["test-caller"]);
    let used = of("gateway_plugin_cpu_seconds_total", "plugin");
    assert!(waited >= 0.5 && used > 0.0 && used < waited / 2.0, "{used} of {waited}");
    assert!(of("gateway_plugin_host_calls_total", "plugin") >= 1.0);
    assert!(of("gateway_plugin_bytes_total", "plugin") >= 4.0, "the response that it gave");
    assert!(of("gateway_plugin_instance_memory_bytes", "plugin") > 0.0);
    for metric in ["gateway_plugin_cpu_seconds_total", "gateway_plugin_host_calls_total", "gateway_plugin_traps_total"]
    {
        assert_eq!(of(metric, "again"), 0.0, "{metric}");
    }
    let (_, page) = gateway.admin_page("/plugins");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let cost = &page[0]["costs"]["plugin"];
    assert!(cost["cpu_seconds"].as_f64().unwrap() > 0.0 && cost["memory_bytes"].as_u64().unwrap() > 0, "{page}");
    client.get_with("/again", &[("x-before", "panic")]);
    assert_eq!(of("gateway_plugin_traps_total", "again"), 1.0);
    assert_eq!(of("gateway_plugin_traps_total", "plugin"), 0.0);
}

#[test]
fn the_log_of_a_trap_does_not_say_where_it_was() {
    let upstream = upstream();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("plugins")).unwrap();
    install("test-guest", &directory.path().join("plugins"));
    let config = directory.path().join("gateway.yaml");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = yaml(&upstream, "name: test-guest", "").replace("127.0.0.1:0", &listener.to_string());
    std::fs::write(&config, format!("{yaml}log: {{format: json, level: info}}\n")).unwrap();
    let process = Process::start(&config);
    process.wait_for("listening");
    let answer = Client::http1(listener).get_with("/plugin", &[("x-do", "request_headers=panic")]);
    assert_eq!(answer.status, 503);
    let function = process.wait_for("plugin failed");
    assert!(function.contains("misbehave::misbehave"), "{function}");
    let line = process.wait_for("trapped at this line");
    assert!(line.contains("misbehave.rs:"), "{line}");
}
