//! Plugins that come, change and go while the gateway serves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::guests::{built, other_build, put, replaced};
use gateway_tests::upstream::{Upstream, text};

const A: &str = "test-guest-build-A";
const B: &str = "test-guest-build-B";

fn yaml(upstream: &Upstream) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest}}], upstream: one}}]
",
        upstream.address()
    )
}

fn start() -> (Upstream, TestGateway) {
    let upstream = Upstream::start(|_| text(200, "good"));
    let gateway = TestGateway::start(&yaml(&upstream), &["test-guest"]);
    (upstream, gateway)
}

fn build(client: &mut Client) -> String {
    let response = client.get("/");
    assert_eq!(response.status, 200, "{}", response.text());
    response.header("x-build").to_owned()
}

fn serves(client: &mut Client, expected: &str) {
    eventually(expected, || (build(client) == expected).then_some(()));
}

fn state(directory: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(directory.join("test-guest.status.json")).ok()?).ok()
}

#[test]
fn a_file_renamed_into_place_serves_without_a_restart() {
    let (_upstream, gateway) = start();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    assert_eq!(build(&mut client), A);
    put(&plugins, "test-guest.wasm", &other_build());
    serves(&mut client, B);
    let status = eventually("its status", || state(&plugins).filter(|status| status["error"].is_null()));
    assert_eq!(status["state"], "serving");
}

#[test]
fn a_slow_copy_is_taken_once_it_is_whole() {
    use std::io::Write as _;
    let (_upstream, gateway) = start();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    let whole = other_build();
    let (first, rest) = whole.split_at(whole.len() / 2);
    let mut file = std::fs::File::create(plugins.join("test-guest.wasm")).expect("a file");
    file.write_all(first).expect("written");
    let status = eventually("half of it is refused", || state(&plugins).filter(|status| !status["error"].is_null()));
    assert!(status["error"].as_str().is_some_and(|error| error.contains("incomplete")), "{status}");
    assert_eq!(build(&mut client), A);
    file.write_all(rest).expect("written");
    drop(file);
    serves(&mut client, B);
}

#[test]
fn a_broken_file_leaves_the_last_good_version_serving() {
    let (_upstream, gateway) = start();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    put(&plugins, "test-guest.wasm", b"not wasm at all, and long enough to tell");
    let status = eventually("it is refused", || state(&plugins).filter(|status| status["state"] == "rejected"));
    assert!(status["error"].as_str().is_some_and(|error| error.contains("not a wasm binary")), "{status}");
    assert_eq!(build(&mut client), A);
    eventually("the admin listener tells", || {
        gateway.admin_page("/plugins").1.contains("not a wasm binary").then_some(())
    });
    put(&plugins, "test-guest.wasm", &other_build());
    serves(&mut client, B);
}

#[test]
fn a_removed_file_is_a_warning_and_serves_on() {
    let (_upstream, gateway) = start();
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    std::fs::remove_file(plugins.join("test-guest.wasm")).expect("removed");
    eventually("it is missed", || state(&plugins).filter(|status| status["state"] == "missing"));
    assert_eq!(build(&mut client), A);
    put(&plugins, "test-guest.wasm", &other_build());
    serves(&mut client, B);
}

#[test]
fn links_swapped_as_kubernetes_does_and_a_replaced_directory_are_seen() {
    let upstream = Upstream::start(|_| text(200, "good"));
    let gateway = TestGateway::prepare(&yaml(&upstream), |directory| {
        let plugins = directory.join("plugins");
        for (version, bytes) in [("..1", built("test-guest")), ("..2", other_build())] {
            std::fs::create_dir(plugins.join(version)).expect("a directory");
            std::fs::write(plugins.join(version).join("test-guest.wasm"), bytes).expect("written");
        }
        std::os::unix::fs::symlink("..1", plugins.join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/test-guest.wasm", plugins.join("test-guest.wasm")).expect("a link");
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let plugins = gateway.directory().join("plugins");
    let mut client = Client::http1(gateway.address());
    assert_eq!(build(&mut client), A);
    std::os::unix::fs::symlink("..2", plugins.join("..data_tmp")).expect("a link");
    std::fs::rename(plugins.join("..data_tmp"), plugins.join("..data")).expect("renamed");
    serves(&mut client, B);

    let fresh = gateway.directory().join("fresh");
    std::fs::create_dir(&fresh).expect("a directory");
    put(&fresh, "test-guest.wasm", &built("test-guest"));
    std::fs::rename(&plugins, gateway.directory().join("old")).expect("renamed");
    std::fs::rename(&fresh, &plugins).expect("renamed");
    serves(&mut client, A);
}

#[test]
fn thirty_swaps_under_load_fail_no_request_and_leave_no_old_instances() {
    let (_upstream, gateway) = start();
    let plugins = gateway.directory().join("plugins");
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (address, stop, served) = (gateway.address(), stop.clone(), served.clone());
            std::thread::spawn(move || {
                let mut client = Client::http1(address);
                while !stop.load(Ordering::SeqCst) {
                    let told = "request_headers=chunks,request_body=upper,response_headers=chunks";
                    let response = client.send(http::Request::post("/").header("x-do", told), "hello");
                    assert_eq!((response.status, response.text().as_str()), (200, "good"));
                    served.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let builds = [built("test-guest"), other_build()];
    let mut client = Client::http1(gateway.address());
    for swap in 1..=30 {
        put(&plugins, "test-guest.wasm", &builds[swap % 2]);
        serves(&mut client, [A, B][swap % 2]);
    }
    stop.store(true, Ordering::SeqCst);
    for thread in load {
        thread.join().expect("no request failed");
    }
    assert!(served.load(Ordering::SeqCst) > 100, "there was load");
    let live = gateway.metric("gateway_plugin_instances", &["test-guest"]);
    assert!((1.0..=20.0).contains(&live), "{live} instances are alive");
}

/// A configuration whose one route answers by itself, with this config of `test-guest`.
fn configured(directory: &str, config: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: {directory}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: test-guest, config: {config}}}]
    respond: {{status: 200, body: x}}
"
    )
}

/// A version of `test-guest` that needs `limits`, which the others refuse; it says `ratelimit-policy`.
fn needs_limits() -> Vec<u8> {
    replaced(built("rate-limit"), b"rate-limit", b"test-guest")
}

const LIMITS: &str = "{limits: [{requests: 1000, per: 1s}]}";

#[test]
fn a_plugin_and_the_configuration_that_it_needs_may_come_in_either_order() {
    for plugin_first in [true, false] {
        let gateway = TestGateway::start(&configured("plugins", "{}"), &["test-guest"]);
        let plugins = gateway.directory().join("plugins");
        let mut client = Client::http1(gateway.address());
        assert_eq!(build(&mut client), A);
        if plugin_first {
            put(&plugins, "test-guest.wasm", &needs_limits());
            eventually("it is refused", || state(&plugins).filter(|status| status["state"] == "rejected"));
            assert_eq!(build(&mut client), A);
            gateway.reload(&configured("plugins", LIMITS)).expect("both work together");
        } else {
            let error = gateway.reload(&configured("plugins", LIMITS)).expect_err("the plugin refuses it");
            assert!(error.contains("limits"), "{error}");
            assert_eq!(build(&mut client), A);
            let status = state(&plugins).expect("a status");
            assert_eq!((&status["state"], &status["error"]), (&"serving".into(), &serde_json::Value::Null));
            put(&plugins, "test-guest.wasm", &needs_limits());
        }
        eventually("both serve", || (!client.get("/").header("ratelimit-policy").is_empty()).then_some(()));
        let status = eventually("its status", || state(&plugins).filter(|status| status["error"].is_null()));
        assert_eq!(status["state"], "serving");
    }
}

#[test]
fn a_directory_that_a_reload_brings_in_is_watched() {
    let gateway = TestGateway::start(&configured("plugins", "{}"), &["test-guest"]);
    let fresh = gateway.directory().join("fresh");
    std::fs::create_dir(&fresh).expect("a directory");
    let error = gateway.reload(&configured("fresh", "{}")).expect_err("the plugin is not there");
    assert!(error.contains("does not exist"), "{error}");
    put(&fresh, "test-guest.wasm", &built("test-guest"));
    gateway.reload(&configured("fresh", "{}")).expect("applied");
    let mut client = Client::http1(gateway.address());
    assert_eq!(build(&mut client), A);
    put(&fresh, "test-guest.wasm", &other_build());
    serves(&mut client, B);
}
