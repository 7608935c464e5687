//! The audit trail as it is written: when records are there, for whom, and what follows where they can't be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

use audit::query::Exchange;
use audit::vocabulary::{Auth, Outcome};
use gateway_tests::audit::{DECLARED, exchanges, fill, ledger, sections};
use gateway_tests::client::Client;
use gateway_tests::gateway::{TestGateway, install};
use gateway_tests::upstream::{Upstream, text};

/// A gateway in front of one upstream, with a trail; `routes` and what else there is in YAML.
fn gateway(upstream: &Upstream, more: &str, routes: &str, plugins: &[&str]) -> TestGateway {
    let yaml = format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
plugins: {{directory: plugins}}
upstreams:
  one: {{endpoints: [\"{}\"], data: {{controller: Example AS, region: oslo, country: NO}}}}
  gone: {{endpoints: [\"127.0.0.1:1\"], data: {{controller: Gone GmbH, country: DE}}}}
{}routes:
{routes}",
        upstream.address(),
        sections(more),
    );
    TestGateway::prepare(&yaml, |directory| {
        fill(directory);
        plugins.iter().for_each(|plugin| install(plugin, &directory.join("plugins")));
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

fn outcome(exchange: &Exchange) -> Outcome {
    exchange.closing.as_ref().expect("it has its end").outcome
}

#[test]
fn the_opening_record_is_there_before_the_upstream_sees_a_byte_and_the_closing_one_before_the_last_byte() {
    let directory: Arc<OnceLock<std::path::PathBuf>> = Arc::default();
    let place = directory.clone();
    let upstream = Upstream::start(move |seen| {
        let found = exchanges(place.get().expect("it is known"));
        let open = found.iter().filter(|found| found.closing.is_none()).count();
        text(if open == 1 { 200 } else { 500 }, if seen.target == "/empty" { "" } else { "hello" })
    });
    let gateway = gateway(&upstream, "", &format!("  - {{name: all, upstream: one, {DECLARED}}}\n"), &[]);
    directory.set(gateway.directory().to_owned()).expect("once");
    let mut asked = 0;
    for mut client in [Client::http1(gateway.address()), Client::h2c(gateway.address())] {
        for path in ["/orders", "/empty"] {
            let response = client.post(path, "text/plain", "four");
            assert_eq!(response.status, 200, "there is one open record while the upstream answers");
            asked += 1;
            let found = exchanges(gateway.directory());
            assert_eq!(found.len(), asked);
            let last = found.last().expect("one");
            let closing = last.closing.as_ref().expect("the client has its last byte");
            assert_eq!((closing.outcome, closing.status, closing.bytes.received), (Outcome::Complete, 200, 4));
            assert_eq!(closing.bytes.sent, response.body.len() as u64);
            assert_eq!(closing.endpoint, Some(upstream.address()));
            let recipient = last.opening.upstream.as_ref().expect("it went upstream");
            assert_eq!(recipient.country.map(|country| country.to_string()).as_deref(), Some("NO"));
            assert_eq!(last.opening.request.to_string(), response.header("x-request-id"));
        }
    }
}

#[test]
fn every_way_out_of_an_audited_route_has_its_two_records_and_other_routes_have_none() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let key =
        "{api_keys: {keys: [{name: alice, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}}";
    let routes = format!(
        "  - {{name: known, match: {{path: {{prefix: /known}}}}, plugins: [{{name: auth, config: {key}}}], upstream: one, {DECLARED}}}
  - {{name: small, match: {{path: {{prefix: /small}}}}, upstream: one, limits: {{body: 1B}}, {DECLARED}}}
  - {{name: moved, match: {{path: {{prefix: /moved}}}}, redirect: {{path: /new}}, {DECLARED}}}
  - {{name: fixed, match: {{path: {{prefix: /fixed}}}}, respond: {{status: 200, body: fixed}}, {DECLARED}}}
  - {{name: gone, match: {{path: {{prefix: /gone}}}}, upstream: gone, {DECLARED}}}
  - {{name: plain, match: {{path: {{prefix: /plain}}}}, upstream: one}}
"
    );
    let gateway = gateway(&upstream, "", &routes, &["auth"]);
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/plain").status, 200);
    assert_eq!(client.get("/nowhere").status, 404);
    assert!(exchanges(gateway.directory()).is_empty());
    for (path, headers, status, outcome, auth, is_forwarded) in [
        ("/known", &[("x-api-key", "alice-key")][..], 200, Outcome::Complete, Auth::Allow, true),
        ("/known", &[("x-api-key", "other")], 401, Outcome::Refused, Auth::Deny, false),
        ("/moved", &[], 308, Outcome::Complete, Auth::None, false),
        ("/fixed", &[], 200, Outcome::Complete, Auth::None, false),
        ("/gone", &[], 502, Outcome::UpstreamFailed, Auth::None, true),
    ] {
        let before = exchanges(gateway.directory()).len();
        assert_eq!(client.get_with(path, headers).status, status, "{path}");
        let found = exchanges(gateway.directory());
        assert_eq!(found.len(), before + 1, "{path}");
        let last = found.last().expect("one");
        let closing = last.closing.as_ref().expect("its end");
        assert_eq!((closing.status, closing.outcome, closing.auth), (status, outcome, auth), "{path}");
        assert_eq!(last.opening.upstream.is_some(), is_forwarded, "{path}");
        assert_eq!(last.caller.is_some(), auth == Auth::Allow, "{path}");
    }
    assert_eq!(client.post("/small", "text/plain", "large").status, 413);
    let found = exchanges(gateway.directory());
    assert_eq!(found.last().map(outcome), Some(Outcome::Refused));
    assert_eq!(found.len(), 6);
}

#[test]
fn an_exchange_that_its_client_leaves_has_its_end() {
    let upstream = Upstream::start_async(|_| std::future::pending());
    let gateway = gateway(&upstream, "", &format!("  - {{name: all, upstream: one, {DECLARED}}}\n"), &[]);
    let mut client = TcpStream::connect(gateway.address()).expect("connected");
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    gateway_tests::eventually("the opening record", || {
        let found = exchanges(gateway.directory());
        (found.len() == 1).then_some(())
    });
    // Dropped with a reset: an end alone would only say that nothing more comes.
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    drop(client);
    let closing = gateway_tests::eventually("the closing record", || exchanges(gateway.directory()).remove(0).closing);
    assert_eq!((closing.outcome, closing.status), (Outcome::ClientLeft, 0));
}

#[test]
fn what_pii_redact_notes_is_in_the_closing_record_and_the_value_nowhere() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let routes = format!(
        "  - {{name: all, plugins: [{{name: pii-redact, config: {{request: {{body: true}}}}}}], upstream: one, {DECLARED}}}\n"
    );
    let gateway = gateway(&upstream, "", &routes, &["pii-redact"]);
    let mut client = Client::http1(gateway.address());
    let response = client.post(
        "/pay?canary=1",
        "application/json",
        r#"{"card": "4111 1111 1111 1111", "mail": "canary@example.no"}"#,
    );
    assert_eq!(response.status, 200);
    let found = exchanges(gateway.directory());
    let closing = found[0].closing.as_ref().expect("its end");
    let seen: Vec<_> = closing.categories.iter().map(|note| (note.category.as_str(), note.action.as_str())).collect();
    assert!(seen.contains(&("card", "mask")) && seen.contains(&("email", "mask")), "{closing:?}");
    assert_eq!(closing.omitted, 0);
    for file in files(&ledger(gateway.directory())) {
        let content = String::from_utf8_lossy(&std::fs::read(&file).expect("readable")).into_owned();
        assert!(!content.contains("canary") && !content.contains("4111"), "{}", file.display());
    }
}

/// Every file below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A disk with less space than the trail wants is full.
const FULL: &str = ", min_free: 1048576TiB";

#[test]
fn with_refuse_a_full_disk_refuses_audited_routes_alone_and_readiness_tells() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let routes = format!(
        "  - {{name: audited, match: {{path: {{prefix: /audited}}}}, upstream: one, {DECLARED}}}
  - {{name: plain, upstream: one}}
"
    );
    let gateway = gateway(&upstream, FULL, &routes, &[]);
    gateway_tests::eventually("readiness fails", || {
        let (status, _) = gateway.admin_page("/readyz");
        if status == 503 { Ok(()) } else { Err(status) }
    });
    let mut client = Client::http1(gateway.address());
    let response = client.get("/audited");
    assert_eq!((response.status, response.header("retry-after")), (503, "1"));
    assert!(response.header("proxy-status").contains("details=\"audit\""), "{}", response.header("proxy-status"));
    assert_eq!(client.get("/plain").status, 200);
    assert_eq!(upstream.seen().len(), 1, "nothing of the refused one went upstream");
    assert_eq!(gateway.metric("gateway_audit_failing", &[]), 1.0);
    assert!(gateway.metric("gateway_audit_refused_total", &[]) >= 1.0);
}

#[test]
fn with_alarm_a_full_disk_is_counted_and_exchanges_go_on() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let more = format!("{FULL}, on_failure: alarm");
    let gateway = gateway(&upstream, &more, &format!("  - {{name: all, upstream: one, {DECLARED}}}\n"), &[]);
    let mut client = Client::http1(gateway.address());
    gateway_tests::eventually("an exchange goes on without a record", || {
        assert_eq!(client.get("/").status, 200);
        let unrecorded = gateway.metric("gateway_audit_unrecorded_total", &[]);
        if unrecorded > 0.0 { Ok(()) } else { Err(unrecorded) }
    });
    assert_eq!(gateway.admin_page("/readyz").0, 200);
    assert_eq!(gateway.metric("gateway_audit_failing", &[]), 1.0);
}

#[test]
fn a_reload_begins_a_trail_and_has_declarations_followed() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let base = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
",
        upstream.address()
    );
    let gateway = TestGateway::prepare(&format!("{base}routes: [{{name: all, upstream: one}}]\n"), fill)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::http1(gateway.address());
    assert_eq!(client.get("/").status, 200);
    for purpose in ["order handling", "fraud prevention"] {
        let declared = DECLARED.replace("order handling", purpose);
        let routes = format!("routes: [{{name: all, upstream: one, {declared}}}]\n");
        gateway.reload(&format!("{base}{}{routes}", sections(""))).expect("accepted");
        assert_eq!(Client::http1(gateway.address()).get("/").status, 200);
        let found = exchanges(gateway.directory());
        assert_eq!(found.last().expect("one").opening.route.purpose.as_str(), purpose);
    }
    let refused = gateway.reload(&format!("{base}routes: [{{name: all, upstream: one, {DECLARED}}}]\n")).unwrap_err();
    assert!(refused.contains("needs the audit trail"), "{refused}");
    assert_eq!(exchanges(gateway.directory()).len(), 2);
    // Whoever reads to the end of the connection sees that it was served.
    let mut rest = Vec::new();
    let mut raw = TcpStream::connect(gateway.address()).expect("connected");
    raw.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    raw.read_to_end(&mut rest).expect("read");
    assert!(rest.starts_with(b"HTTP/1.1 200") && exchanges(gateway.directory()).len() == 3);
}
