//! What an author of a plugin may forget, and what a request may bring, must not make a message pass unread.

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

const TLS: &str =
    "{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}}";

fn gateway(upstream: &Upstream, plugin: &str) -> TestGateway {
    gateway_with(upstream, plugin, &format!("{{name: {plugin}, on_failure: open}}"))
}

fn gateway_with(upstream: &Upstream, plugin: &str, entries: &str) -> TestGateway {
    let yaml = format!(
        "listeners: [{TLS}]
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [one]}}}}}}
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, upstream: one, plugins: [{entries}]}}
",
        upstream.address()
    );
    TestGateway::start(&yaml, &[plugin])
}

fn client(protocol: &'static str, gateway: &TestGateway) -> Client {
    Client::tls(protocol, gateway.address(), "localhost")
}

#[test]
fn a_request_without_a_body_does_not_pass_a_plugin_that_wants_it_whole() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = gateway(&upstream, "test-guest");
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        let whole = ("x-do", "request_headers=whole,request_body=respond");
        for fields in [&[whole][..], &[whole, ("content-length", "0")], &[whole, ("content-encoding", "br")]] {
            assert_eq!(client.get_with("/", fields).status, 298, "{protocol} {fields:?}");
        }
    }
}

#[test]
fn a_request_without_a_body_does_not_pass_a_plugin_that_reads_chunks() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = gateway(&upstream, "test-guest");
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        for fields in [&[][..], &[("content-length", "0")]] {
            let read = ("x-do", "request_headers=chunks,request_body=respond");
            assert_eq!(client.get_with("/", &[&[read], fields].concat()).status, 298, "{protocol} {fields:?}");
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn the_answer_of_a_later_plugin_does_not_get_round_what_an_earlier_one_makes_of_the_body() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let pair = "{name: test-guest, config: {id: a}}, {name: test-guest, config: {id: b}}";
    let gateway = gateway_with(&upstream, "test-guest", pair);
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        for mode in ["chunks", "whole"] {
            for (body, status) in [("a/request_body=respond", 298), ("a/request_body=upper", 299)] {
                let told = format!("a/request_headers={mode},b/request_headers=respond,{body}");
                for sent in ["", "body"] {
                    let response = client.send(http::Request::post("/").header("x-do", &told), sent);
                    assert_eq!(response.status, status, "{protocol} {told} {sent:?}");
                }
            }
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_request_without_a_body_that_passes_goes_upstream_as_it_came() {
    let upstream = Upstream::start(|seen| {
        let length = seen.headers.get("content-length").map_or(&b"none"[..], |value| value.as_bytes());
        let framing = seen.headers.contains_key("transfer-encoding");
        text(200, format!("{} {framing} {}", String::from_utf8_lossy(length), seen.body.len()))
    });
    let gateway = gateway(&upstream, "test-guest");
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        for mode in ["whole", "chunks"] {
            let got = client.get_with("/", &[("x-do", &format!("request_headers={mode}"))]);
            assert_eq!(got.text(), "none false 0", "{protocol} {mode}");
        }
    }
}

#[test]
fn a_response_without_a_body_comes_once_to_a_plugin_that_wants_it_whole() {
    let upstream = Upstream::start(|seen| {
        let status = seen.headers["x-status"].to_str().expect("text").parse().expect("a number");
        text(status, "")
    });
    let gateway = gateway(&upstream, "test-guest");
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        let whole = ("x-do", "response_headers=whole,response_body=sizes");
        for (status, body) in [("200", "[0]."), ("204", ""), ("304", "")] {
            let response = client.get_with("/", &[whole, ("x-status", status)]);
            let got = (response.status.to_string(), response.text());
            assert_eq!(got, (status.to_owned(), body.to_owned()), "{protocol}");
        }
        let refused =
            client.get_with("/", &[("x-do", "response_headers=whole,response_body=respond"), ("x-status", "304")]);
        assert_eq!(refused.status, 298, "{protocol}");
    }
}

#[test]
fn a_response_is_not_delivered_unread_where_the_method_that_reads_it_is_missing() {
    let upstream = Upstream::start(|_| text(200, "unread"));
    let gateway = gateway(&upstream, "test-caller");
    let response = Client::tls("http2", gateway.address(), "localhost").get_with("/", &[("x-call-in", "forget")]);
    assert_eq!(response.status, 503);
    assert!(!response.text().contains("unread"));
    let line = gateway.logged("the request", |line| line["path"] == "/");
    assert_eq!(line["detail"], "plugin `test-caller`: asks for the body and has no phase for it");
}

#[test]
fn a_limit_by_a_long_header_is_a_limit() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = gateway(&upstream, "test-guest");
    let long = "k".repeat(5000);
    let mut client = client("http2", &gateway);
    let mut ask = || client.get_with("/", &[("x-do", "request_headers=limit"), ("x-key", &long)]).status;
    assert_eq!([ask(), ask(), ask(), ask()].map(|status| status.to_string()), ["200", "200", "429", "429"]);
}

#[test]
fn what_is_too_large_to_be_kept_is_told_and_ends_no_plugin() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = gateway(&upstream, "test-guest");
    let mut client = client("http2", &gateway);
    let mut ask = |what: &str, key: &str| client.get_with("/", &[("x-do", what), ("x-key", key)]).status.to_string();
    assert_eq!(ask("request_headers=keep-all", ""), "200");
    assert_eq!(ask("request_headers=name", &"n".repeat(8192)), "200");
    assert_eq!(ask("request_headers=name", &"n".repeat(8193)), "400");
}

/// The route lets 10 MiB through, and an instance holds them.
#[test]
fn a_check_of_a_large_body_is_no_end_of_the_plugin_that_a_client_could_bring_about() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let gateway = gateway(&upstream, "test-guest");
    let request = http::Request::post("/").header("x-do", "request_headers=whole,request_body=give");
    let response = client("http2", &gateway).send(request, vec![0; 9 << 20]);
    // What `head -c 9M /dev/zero | sha256sum` says; too large to be kept.
    assert_eq!(response.text(), "d2ee4703cd9698945ca7b9fe1689ea3095597eac1a0afd8dba00cac7894fdc43 false");
}

#[test]
fn a_body_of_which_too_much_is_to_be_remembered_is_cut_whatever_the_policy() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let gateway = gateway(&upstream, "test-guest");
    let mut client = client("http2", &gateway);
    let post = |client: &mut Client, bytes| {
        let request = http::Request::post("/").header("x-do", "request_headers=chunks,request_body=hoard");
        client.send(request, vec![b'x'; bytes])
    };
    assert_eq!(post(&mut client, 32 << 10).status, 200);
    assert_ne!(post(&mut client, 200 << 10).status, 200);
}

#[test]
fn a_field_that_is_not_utf_8_is_there_over_every_protocol() {
    let upstream = Upstream::start(|_| text(200, "passed"));
    let gateway = gateway(&upstream, "test-guest");
    for protocol in PROTOCOLS {
        let mut client = client(protocol, &gateway);
        let value = http::HeaderValue::from_bytes(b"caf\xe9").expect("opaque bytes are allowed");
        let mut request = http::Request::get("/").header("x-do", "request_headers=bytes");
        request = request.header("x-bytes", value);
        assert_eq!(client.send(request, "").text(), "caf\u{fffd}", "{protocol}");
    }
}

#[test]
fn several_calls_are_made_at_once_each_with_its_own_outcome() {
    let upstream = Upstream::start(|_| text(200, "called"));
    let gateway = gateway(&upstream, "test-caller");
    let response = client("http2", &gateway).get_with("/", &[("x-all", "1"), ("x-call", "one")]);
    assert_eq!(response.text(), "[0, 200]");
}
