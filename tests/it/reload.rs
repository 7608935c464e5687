//! A new configuration takes over with no request lost; a bad one changes nothing.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;

use gateway_tests::certs::Authority;
use gateway_tests::client::Client;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::guests::put;
use gateway_tests::{PATIENCE, eventually, free_port};

fn config(body: &str, extra: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: {body}}}}}]
{extra}"
    )
}

#[test]
fn a_new_file_is_taken_over_on_open_connections_and_the_port_stays() {
    let gateway = TestGateway::start(&config("one", ""), &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").text(), "one");
    let address = gateway.address();
    gateway.reload(&config("two", "")).expect("applied");
    eventually("the new configuration serves", || (client.get("/").text() == "two").then_some(()));
    assert_eq!(gateway.address(), address);
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_reported_with_its_place() {
    let gateway = TestGateway::start(&config("one", ""), &[]);
    let error =
        gateway.reload(&config("two", "upsteams: {}\nlimits: {requests_per_worker: many}\n")).expect_err("refused");
    assert!(error.contains("gateway.yaml:3:1") && error.contains("upstreams"), "{error}");
    assert!(error.contains("gateway.yaml:4:"), "{error}");
    assert_eq!(Client::http1(gateway.address()).get("/").text(), "one");
    assert!(gateway.metric("gateway_reloads_total", &["config", "failed"]) >= 1.0);
    assert_eq!(gateway.metric("gateway_reloads_total", &["config", "succeeded"]), 0.0);
}

fn listening(listeners: &str, body: &str) -> String {
    format!(
        "listeners: [{listeners}]
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: {body}}}}}]
"
    )
}

#[test]
fn limits_name_and_protocols_of_a_listener_with_a_fixed_port_change_under_its_connections() {
    let port = free_port();
    let listener = |name: &str, rest: &str| format!("{{name: {name}, address: \"127.0.0.1:{port}\"{rest}}}");
    let gateway = TestGateway::start(&listening(&listener("front", ", protocols: [http1]"), "one"), &[]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").text(), "one");
    let rest = ", limits: {connections: 1, idle_timeout: 70s}, protocols: [http1, http2]";
    gateway.reload(&listening(&listener("door", rest), "two")).expect("applied");
    eventually("the old connection goes on", || (client.get("/").text() == "two").then_some(()));
    // It has the one place; a later one finds none.
    let mut late = TcpStream::connect(gateway.address()).expect("the kernel accepts");
    late.set_read_timeout(Some(PATIENCE)).expect("an option");
    assert!(matches!(late.read(&mut [0; 1]), Ok(0) | Err(_)), "it is closed");
    let rejected = || gateway.metric("gateway_listener_rejected_total", &["\"door\"", "\"limit\""]);
    eventually("it is counted under the new name", || (rejected() == 1.0).then_some(()));
    gateway.reload(&listening(&listener("door", ", protocols: [http1, http2]"), "three")).expect("applied");
    let mut other = Client::h2c(gateway.address());
    eventually("there is room again", || (other.get("/").text() == "three").then_some(()));
}

#[test]
fn http3_comes_and_goes_with_a_reload() {
    let port = free_port();
    let tls = "tls: {self_signed: [localhost]}";
    let listener = |protocols: &str| {
        listening(&format!("{{name: a, address: \"127.0.0.1:{port}\", protocols: [{protocols}], {tls}}}"), "x")
    };
    let gateway = TestGateway::start(&listener("http1"), &[]);
    let address = gateway.address();
    let mut before = Client::tls("http1", address, "localhost");
    for _ in 0..2 {
        gateway.reload(&listener("http1, http3")).expect("applied");
        let mut quic = Client::tls("http3", address, "localhost");
        assert_eq!(quic.get("/").text(), "x");
        assert!(!before.get("/").header("alt-svc").is_empty(), "it is announced");
        gateway.reload(&listener("http1")).expect("applied");
        eventually("connections of the removed socket end", || {
            quic.try_send(http::Request::get("/"), "").is_err().then_some(())
        });
        assert!(before.get("/").header("alt-svc").is_empty());
        // A reload waits for it too, but only for a moment, which a busy machine may need for other things.
        eventually("the removed socket closes", || UdpSocket::bind(address).map(drop));
    }
}

#[test]
fn connections_of_a_removed_listener_are_drained() {
    let stays = "{name: stays, address: \"127.0.0.1:0\", protocols: [http1]}";
    let goes = "{name: goes, address: \"127.0.0.1:0\", protocols: [http1]}";
    let gateway = TestGateway::start(&listening(&format!("{stays}, {goes}"), "x"), &[]);
    let mut idle = TcpStream::connect(gateway.listener("goes")).expect("connected");
    idle.set_read_timeout(Some(PATIENCE)).expect("an option");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut response = Vec::new();
    while !response.ends_with(b"x") {
        let mut piece = [0; 1024];
        let count = idle.read(&mut piece).expect("a response");
        response.extend_from_slice(&piece[..count]);
    }
    let mut other = Client::http1(gateway.listener("stays"));
    assert_eq!(other.get("/").status, 200);
    gateway.reload(&listening(stays, "y")).expect("applied");
    assert_eq!(idle.read(&mut [0; 1]).expect("closed in order"), 0);
    eventually("the other listener's connection goes on", || (other.get("/").text() == "y").then_some(()));
}

#[test]
fn a_listener_removed_and_added_again_gets_its_port_back() {
    let port = free_port();
    let stays = "{name: stays, address: \"127.0.0.1:0\", protocols: [http1]}";
    let both = format!("{stays}, {{name: back, address: \"127.0.0.1:{port}\", protocols: [http1]}}");
    let gateway = TestGateway::start(&listening(&both, "first"), &[]);
    for round in 1..=5 {
        gateway.reload(&listening(stays, &format!("without{round}"))).expect("removed");
        gateway.reload(&listening(&both, &format!("with{round}"))).expect("added again");
        assert_eq!(Client::http1(gateway.listener("back")).get("/").status, 200);
    }
}

#[test]
fn http3_alone_leaves_the_tcp_port_to_another_listener() {
    let port = free_port();
    let tls = "tls: {self_signed: [localhost]}";
    let alone = format!("{{name: quic, address: \"127.0.0.1:{port}\", protocols: [http3], {tls}}}");
    let clear = format!("{{name: clear, address: \"127.0.0.1:{port}\", protocols: [http1]}}");
    let any = format!("{{name: any, address: \"127.0.0.1:0\", protocols: [http3], {tls}}}");
    let gateway = TestGateway::start(&listening(&format!("{alone}, {clear}, {any}"), "x"), &[]);
    assert_eq!(Client::http1(gateway.listener("clear")).get("/").status, 200);
    for name in ["quic", "any"] {
        let mut client = Client::tls("http3", gateway.listener(name), "localhost");
        assert_eq!(client.get("/").text(), "x", "{name}");
    }
    assert!(TcpStream::connect(gateway.listener("any")).is_err(), "no TCP socket");
}

#[test]
fn addresses_are_no_longer_logged_whole_once_the_configuration_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (directory.path().join("first.log"), directory.path().join("second.log"));
    let log = |path: &Path, include: &str| config("x", &format!("access_log: {{path: {}{include}}}", path.display()));
    let gateway = TestGateway::start(&log(&first, ", include: [client.address]"), &[]);
    let mut client = Client::http1(gateway.address());
    let records = |path: &Path| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let client_of = |path: &Path, target: &str| {
        eventually(target, || records(path).iter().find(|record| record["path"] == target).cloned())["client"].clone()
    };
    client.get("/whole");
    assert_eq!(client_of(&first, "/whole"), "127.0.0.1");
    gateway.reload(&log(&first, "")).expect("applied");
    client.get("/cut");
    assert_eq!(client_of(&first, "/cut"), "127.0.0.0");
    gateway.reload(&log(&second, "")).expect("applied");
    client.get("/elsewhere");
    assert_eq!(client_of(&second, "/elsewhere"), "127.0.0.0");
    let error = gateway.reload(&log(&directory.path().join("none/third.log"), "")).expect_err("it can't be opened");
    assert!(error.contains("access log"), "{error}");
    client.get("/still");
    assert_eq!(client_of(&second, "/still"), "127.0.0.0");
}

#[test]
fn an_edit_made_while_a_reload_runs_is_not_lost() {
    let plugins = |body: &str, verb: &str| {
        format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
plugins: {{directory: plugins}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: test-guest, config: {{configure: {verb}}}}}]
    respond: {{status: 200, body: {body}}}
"
        )
    };
    let gateway = TestGateway::start(&plugins("one", "fine"), &["test-guest"]);
    std::thread::scope(|scope| {
        // Refused, after the two seconds that `configure` may take.
        let slow = scope.spawn(|| gateway.reload(&plugins("never", "loop")));
        let file = gateway.directory().join("gateway.yaml");
        eventually("the file is there", || std::fs::read_to_string(&file).ok().filter(|text| text.contains("loop")));
        // The admin listener is served by the same thread: after these it has taken the reload up.
        for _ in 0..20 {
            assert_eq!(gateway.admin_page("/healthz").0, 200);
        }
        let text = std::fs::read_to_string(&file).expect("read").replace("loop", "fine").replace("never", "two");
        put(gateway.directory(), "gateway.yaml", text.as_bytes());
        let mut client = Client::http1(gateway.address());
        eventually("the edit is applied", || (client.get("/").text() == "two").then_some(()));
        let _ = slow.join().expect("it ends");
    });
}

#[test]
fn what_is_in_force_and_what_was_loaded_is_shown_in_the_metrics() {
    let authority = Authority::new();
    let yaml = |body: &str| {
        format!(
            "listeners:
  - name: tls
    address: \"127.0.0.1:0\"
    protocols: [http1]
    tls: {{certificates: [{{certificate: a.pem, private_key: a.key}}]}}
plugins: {{directory: plugins}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest}}], respond: {{status: 200, body: {body}}}}}
"
        )
    };
    let gateway = TestGateway::prepare(&yaml("one"), |directory| {
        authority.issue(directory, "a", &["localhost"]);
        install("test-guest", &directory.join("plugins"));
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let reloads = |what: &str, result: &str| gateway.metric("gateway_reloads_total", &[what, result]);
    let page = || gateway.admin_page("/metrics").1;
    let hash = || {
        let page = page();
        let start = page.find("gateway_config_info{hash=\"").expect("it is shown") + 26;
        page[start..start + 64].to_owned()
    };
    let first = hash();
    assert!(page().contains("gateway_plugin_info{plugin=\"test-guest\""), "{}", page());
    gateway.reload(&yaml("two")).expect("applied");
    assert_ne!(hash(), first);
    assert_eq!((reloads("config", "succeeded"), reloads("certificate", "succeeded")), (1.0, 0.0));

    authority.issue(gateway.directory(), "a", &["localhost"]);
    eventually("the renewed certificate is taken", || (reloads("certificate", "succeeded") >= 1.0).then_some(()));
    assert_eq!(reloads("config", "succeeded"), 1.0);
    std::fs::write(gateway.directory().join("a.pem"), "nonsense").expect("written");
    eventually("the broken one is not", || (reloads("certificate", "failed") >= 1.0).then_some(()));
    assert_eq!(Client::tls("http1", gateway.address(), "localhost").get("/").text(), "two");
    put(&gateway.directory().join("plugins"), "test-guest.wasm", b"not wasm at all, and long enough to tell");
    eventually("nor is the broken plugin", || (reloads("plugin", "failed") >= 1.0).then_some(()));
}
