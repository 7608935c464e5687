//! Redaction by the built plugin, in a gateway on real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, run, streamed};
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::upstream::{Upstream, text};

const FNR: &str = "02013299997";

fn yaml(upstream: SocketAddr, config: &str) -> String {
    format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}, {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
workers: 1
secrets: {{pii: {{value: a-key-for-pseudonyms}}}}
plugins: {{directory: plugins, grants: {{pii-redact: {{secrets: [pii]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{{name: pii-redact, config: {config}}}]
    upstream: one
",
        upstream
    )
}

#[test]
fn a_request_is_redacted_counted_and_pseudonymised() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let config =
        "{request: {body: true, query: true, headers: [x-user]}, categories: {email: {action: hash, secret: pii}}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let request = http::Request::post("/a?q=100%&m=kari@example.no")
            .header("content-type", "application/json")
            .header("x-user", "kari@example.no");
        assert_eq!(client.send(request, format!("{{\"fnr\":{FNR}}}")).status, 200, "{protocol}");
        let seen = upstream.seen().pop().expect("it was forwarded");
        let pseudonym = seen.headers["x-user"].to_str().expect("text").to_owned();
        assert!(pseudonym.starts_with("email-") && pseudonym.len() == 22, "{protocol}: {pseudonym}");
        assert_eq!(seen.target, format!("/a?q=100%25&m={pseudonym}"), "{protocol}");
        assert_eq!(&seen.body[..], b"{\"fnr\":\"***\"}", "{protocol}");
    }
    let count = |labels: &[&str]| gateway.metric("gateway_plugin_custom_pii_redacted_total", labels);
    assert_eq!(count(&["category=\"fodselsnummer\"", "where=\"request-body\""]), 3.0);
    assert_eq!(count(&["category=\"email\"", "where=\"query\""]), 3.0);
    assert_eq!(count(&["category=\"email\"", "where=\"request-header\""]), 3.0);
}

/// A whole body leaves its instance to others while it comes; what these do there must not decide about it.
#[test]
fn bodies_that_block_are_not_mixed_up_when_they_come_at_the_same_time() {
    let (arrived, both) = mpsc::channel();
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let upstream = Upstream::start_async(move |seen| {
        let (arrived, wait) = (arrived.clone(), wait.clone());
        async move {
            if seen.target == "/slow" {
                let _ = arrived.send(());
                let _ = tokio::task::spawn_blocking(move || wait.lock().expect("no poison").recv()).await;
                return text(200, format!("number {FNR}"));
            }
            text(200, "kari@example.no")
        }
    });
    let config = "{request: {body: true}, categories: {fodselsnummer: block}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    let address = gateway.listener("tls");
    let slow = std::thread::spawn(move || Client::tls("http2", address, "localhost").get("/slow"));
    both.recv().expect("the slow request is at the upstream");
    let mut other = Client::tls("http1", address, "localhost");
    let response = other.post("/", "text/plain", "ola@example.no");
    assert_eq!((response.status, response.text().as_str()), (200, "***"));
    assert_eq!(other.post("/", "text/plain", FNR).status, 403);
    release.send(()).expect("the upstream waits");
    let response = slow.join().expect("no panic");
    assert_eq!(response.status, 502);
    assert!(!response.text().contains(FNR));
}

#[test]
fn a_request_under_block_is_read_with_a_state_of_its_own() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let config = "{request: {body: true}, response: {body: false}, categories: {email: block}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    let body = "{\"e\":\"kari@example.no\"}";
    let mut first = TcpStream::connect(gateway.listener("clear")).expect("connected");
    first.set_read_timeout(Some(gateway_tests::PATIENCE)).expect("an option");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    first.write_all(head.as_bytes()).expect("sent");
    // The gateway asks for the body when the headers phase is over.
    let mut interim = [0; 25];
    first.read_exact(&mut interim).expect("an interim response");
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    let mut other = Client::http1(gateway.listener("clear"));
    assert_eq!(other.post("/", "application/json", "{\"a\":\"cut off").status, 200);
    first.write_all(body.as_bytes()).expect("sent");
    let mut response = String::new();
    first.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    assert_eq!(upstream.seen().len(), 1);
}

/// The length of the original would tell how much was taken out, and its validator would let a client check guesses.
#[test]
fn the_head_of_a_redacted_response_tells_nothing_of_the_original() {
    let upstream = Upstream::start(|_| {
        let mut response = text(200, "kari@example.no");
        response.headers_mut().insert("etag", "\"original\"".parse().expect("valid"));
        response
    });
    for config in ["{}", "{categories: {email: block}}"] {
        let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
        for protocol in PROTOCOLS {
            let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
            let response = client.send(http::Request::head("/"), "");
            assert_eq!(response.status, 200, "{config} over {protocol}");
            assert_eq!(response.header("content-type"), "text/plain", "{config} over {protocol}");
            for name in ["content-length", "etag"] {
                assert!(!response.headers.contains_key(name), "{config} over {protocol}: {:?}", response.headers);
            }
        }
    }
}

#[test]
fn an_event_is_redacted_and_arrives_before_the_next_one_is_sent() {
    for config in ["{}", "{categories: {fodselsnummer: block}}"] {
        let (give, mut responses) = tokio::sync::mpsc::unbounded_channel();
        let upstream = Service::start(move |_| {
            let (sender, response) = streamed("text/event-stream");
            let _ = give.send(sender);
            async move { response }
        });
        let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
        for protocol in PROTOCOLS {
            let case = format!("{config} over {protocol}");
            run(&case, async {
                let mut client = Duplex::get(protocol, &gateway).await;
                let mut sender = responses.recv().await.expect("a request");
                // A plugin decides on the head when it has seen the first bytes.
                for (number, (event, expected)) in [
                    ("data: one of kari@example.no\n\n", "data: one of ***\n\n"),
                    // It could go on, but for the blank line.
                    ("data: two of kari@example\n\n", "data: two of kari@example\n\n"),
                    ("data: three of ola@example.no\n\n", "data: three of ***\n\n"),
                ]
                .into_iter()
                .enumerate()
                {
                    // In two pieces, within a value.
                    let (front, back) = event.split_at(event.len() - 6);
                    sender.send_data(front.into()).await.expect("sent");
                    sender.send_data(back.into()).await.expect("sent");
                    if number == 0 {
                        assert_eq!(client.head().await.status(), 200, "{case}");
                    }
                    let mut got = String::new();
                    while !got.ends_with("\n\n") {
                        got.push_str(&String::from_utf8_lossy(&client.piece().await));
                    }
                    assert_eq!(got, expected, "{case}");
                }
                drop(sender);
                assert_eq!(client.next().await, Ok(None), "{case}");
            });
        }
    }
}

/// A route with these plugins, over all protocols.
fn chain(upstream: SocketAddr, plugins: &str, limits: &str) -> String {
    format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}]
secrets: {{pii: {{value: a-key-for-pseudonyms}}}}
plugins: {{directory: plugins, grants: {{pii-redact: {{secrets: [pii]}}}}, limits: {{{limits}}}}}
access_log: {{path: access.log, include: [plugin_fields.lookup]}}
upstreams: {{one: {{endpoints: [\"{upstream}\"]}}}}
routes:
  - name: all
    match: {{path: {{prefix: /}}}}
    plugins: [{plugins}]
    upstream: one
"
    )
}

#[test]
fn what_another_plugin_adds_to_the_log_is_redacted_in_the_record() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    for (log, expected) in [("true", "***"), ("[guest]", "***"), ("[other]", "seen"), ("false", "seen")] {
        let redact =
            format!("{{name: pii-redact, config: {{log: {log}, custom: [{{name: sight, pattern: \"s[e]{{2}}n\"}}]}}}}");
        let plugins = format!("{redact}, {{name: test-guest, config: {{id: g}}}}");
        let gateway = TestGateway::start(&chain(upstream.address(), &plugins, ""), &["pii-redact", "test-guest"]);
        for protocol in PROTOCOLS {
            for phase in ["request_headers", "log"] {
                let mut client = Client::tls(protocol, gateway.address(), "localhost");
                let id = format!("{protocol}-{phase}");
                let response = client.get_with(&format!("/{id}"), &[("x-do", &format!("g/{phase}=field"))]);
                assert_eq!(response.status, 200, "{log} over {protocol}");
                let record = gateway.logged(&id, |record| record["path"] == format!("/{id}"));
                assert_eq!(record["fields"]["guest"], expected, "{log}: {record}");
            }
        }
    }
}

const HASHES: &str = "{name: pii-redact, config: {categories: {fodselsnummer: {action: hash, secret: pii}}}}";
const LOOKUP: &str = "{name: lookup-log, config: {}}";

fn get_and_log(gateway: &TestGateway, target: &str) -> (u16, serde_json::Value) {
    let mut client = Client::tls("http1", gateway.address(), "localhost");
    let before = gateway.access_log().len();
    let status = client.get(target).status;
    let record = gateway_tests::eventually("a record", || gateway.access_log().get(before).cloned().ok_or(()));
    (status, record)
}

#[test]
fn a_log_field_that_redaction_makes_longer_than_it_may_be_is_cut_and_not_left_raw() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let yaml = chain(upstream.address(), &format!("{HASHES}, {LOOKUP}"), "");
    let gateway = TestGateway::start(&yaml, &["pii-redact", "lookup-log"]);
    let target = format!("/customers?fnr={}", vec![FNR; 500].join("&fnr="));
    assert!(target.len() < 8 << 10);
    let (status, record) = get_and_log(&gateway, &target);
    let noted = record["fields"]["lookup"].as_str().expect("noted");
    assert_eq!((status, noted.len()), (200, 8 << 10));
    assert!(noted.starts_with("/customers?fnr=fodselsnummer-") && !noted.contains(FNR), "{noted}");
}

#[test]
fn a_value_at_the_cut_of_a_long_field_is_redacted_before_it_is_cut() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let plugins = format!("{{name: pii-redact, config: {{}}}}, {LOOKUP}");
    let gateway = TestGateway::start(&chain(upstream.address(), &plugins, ""), &["pii-redact", "lookup-log"]);
    for inside in [5, 11] {
        let start = format!("/customers?pad={}&fnr=", "x".repeat((8 << 10) - inside - "/customers?pad=&fnr=".len()));
        let (status, record) = get_and_log(&gateway, &format!("{start}{FNR}&end=1"));
        let noted = record["fields"]["lookup"].as_str().expect("noted");
        assert_eq!(status, 200);
        assert!(noted.len() <= 8 << 10 && noted.starts_with(&start), "{noted}");
        assert!(!noted.contains(&FNR[..5]), "{inside} characters of it are left: {noted}");
    }
}

#[test]
fn a_target_longer_than_a_log_field_costs_nobody_the_request() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&chain(upstream.address(), LOOKUP, ""), &["lookup-log"]);
    let (status, record) = get_and_log(&gateway, &format!("/{}", "ab".repeat(6 << 10)));
    assert_eq!((status, record["fields"]["lookup"].as_str().expect("noted").len()), (200, 8 << 10));
}

#[test]
fn fields_are_masked_where_the_log_phase_that_should_redact_them_fails() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    for (policy, expected) in [("closed", "***".to_owned()), ("open", format!("/{FNR}"))] {
        let redact = format!("{{name: pii-redact, config: {{}}, on_failure: {policy}}}");
        let yaml = chain(upstream.address(), &format!("{redact}, {LOOKUP}"), "pii-redact: {host_calls: 4}");
        let gateway = TestGateway::start(&yaml, &["pii-redact", "lookup-log"]);
        let (status, record) = get_and_log(&gateway, &format!("/{FNR}"));
        assert_eq!((status, record["fields"]["lookup"].as_str()), (200, Some(&*expected)), "{policy}");
    }
}

#[test]
fn fields_are_masked_where_the_request_phase_of_the_redacting_plugin_fails() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let redact = "{name: pii-redact, config: {request: {query: true}}}";
    let yaml = chain(upstream.address(), &format!("{LOOKUP}, {redact}"), "pii-redact: {host_calls: 1}");
    let gateway = TestGateway::start(&yaml, &["pii-redact", "lookup-log"]);
    let (status, record) = get_and_log(&gateway, &format!("/a?fnr={FNR}"));
    assert_eq!((status, record["fields"]["lookup"].as_str()), (503, Some("***")), "{record}");
}

#[test]
fn fields_are_redacted_also_where_a_plugin_behind_answers() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let limits = "{name: rate-limit, config: {limits: [{name: few, requests: 1, per: 1h, by: client.address}]}}";
    let yaml = chain(upstream.address(), &format!("{HASHES}, {LOOKUP}, {limits}"), "");
    let gateway = TestGateway::start(&yaml, &["pii-redact", "lookup-log", "rate-limit"]);
    for expected in [200, 429] {
        let (status, record) = get_and_log(&gateway, &format!("/a?fnr={FNR}"));
        let noted = record["fields"]["lookup"].as_str().expect("noted");
        assert_eq!(status, expected);
        assert!(noted.starts_with("/a?fnr=fodselsnummer-"), "{record}");
    }
}

/// Text of numbers: what a scanner that looks for numbers has most to do with.
fn numeric(length: usize) -> [(&'static str, String); 3] {
    let numbers = |scale: u32, behind: &str| {
        let numbers = (1_u32..).map(|number| format!("{}{behind}", number.wrapping_mul(2_654_435_761) % scale));
        let mut text = String::new();
        numbers
            .take_while(|number| {
                text.push_str(number);
                text.len() < length
            })
            .for_each(drop);
        text
    };
    [
        ("columns", numbers(1000, ",")),
        ("words", numbers(1_000_000, " ")),
        ("starts of cards", "4111-".repeat(length / 5)),
    ]
}

/// How the network cuts a body is not the plugin's doing, and must not spend its time.
#[test]
fn a_large_chunk_of_numbers_is_read_within_the_default_limits() {
    let bodies = numeric(1 << 20);
    let texts = bodies.clone();
    let upstream = Upstream::start(move |seen| {
        let index: usize = seen.target[1..].parse().expect("a number");
        text(200, texts[index].1.clone())
    });
    let gateway = TestGateway::start(&yaml(upstream.address(), "{}"), &["pii-redact"]);
    let mut client = Client::http1(gateway.listener("clear"));
    for (index, (name, body)) in bodies.iter().enumerate() {
        let response = client.get(&format!("/{index}"));
        assert_eq!((response.status, response.text().len() > body.len() / 2), (200, true), "{name}");
    }
    assert_eq!(gateway.metric("gateway_plugin_failures_total", &["pii-redact"]), 0.0);
}

#[test]
fn a_whole_body_is_read_within_the_default_limits() {
    let bodies = numeric(2 << 20);
    let texts = bodies.clone();
    let upstream = Upstream::start(move |seen| {
        let index: usize = seen.target[1..].parse().expect("a number");
        text(200, texts[index].1.clone())
    });
    let gateway = TestGateway::start(&yaml(upstream.address(), "{categories: {email: block}}"), &["pii-redact"]);
    let mut client = Client::http1(gateway.listener("clear"));
    for (index, (name, body)) in bodies.iter().enumerate() {
        let response = client.get(&format!("/{index}"));
        assert_eq!((response.status, response.text().len() > body.len() / 2), (200, true), "{name}");
    }
}

/// A host call per value: a large body may hold more of them than one call may make.
#[test]
fn a_whole_body_may_hold_as_many_pseudonyms_as_its_chunks_might() {
    let upstream = Upstream::start(|_| text(200, "kari@example.no ".repeat(20_000)));
    let config = "{categories: {email: {action: hash, secret: pii}, iban: block}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    let response = Client::http1(gateway.listener("clear")).get("/");
    assert_eq!((response.status, response.text().matches("email-").count()), (200, 20_000));
}

/// As slow as a pattern may be: each `x` could be the start of a match.
#[test]
fn a_pattern_that_starts_everywhere_and_matches_nowhere_is_read_within_the_default_limits() {
    let upstream = Upstream::start(|_| text(200, "x ".repeat(256 << 10)));
    let config = "{custom: [{name: long, pattern: 'x[a-z ]+y', max_length: 256}]}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    let response = Client::http1(gateway.listener("clear")).get("/");
    assert_eq!((response.status, response.text().len()), (200, 512 << 10));
}

/// What a body leaves free in an instance is no room for a larger one.
#[test]
fn a_whole_body_fits_after_a_smaller_one() {
    let upstream = Upstream::start(|seen| text(200, "word ".repeat(seen.target[1..].parse().expect("a number"))));
    let config = "{categories: {email: block}}";
    let gateway = TestGateway::start(&yaml(upstream.address(), config), &["pii-redact"]);
    let mut client = Client::http1(gateway.listener("clear"));
    for kibibytes in [3_500, 6_000, 9_700] {
        let words = kibibytes * 1024 / 5;
        assert_eq!(client.get(&format!("/{words}")).status, 200, "{kibibytes} KiB");
    }
}
