//! What is kept apart: callers from each other, clients from what only proxies can say, heads from trailers, and a request
//! from itself when it comes round again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::{Duplex, run};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Seen, Upstream, text};
use gateway_tests::{eventually, free_port};
use http::{HeaderMap, HeaderName, HeaderValue};

const LISTENER: &str = "listeners:
  - {name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {self_signed: [localhost]}}
  - {name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}
";

/// A gateway with one route to this upstream; `route` and `rest` are more of the route and of the file.
fn start(upstream: &Upstream, route: &str, rest: &str, plugins: &[&str]) -> TestGateway {
    let yaml = format!(
        "{LISTENER}upstreams: {{one: {{endpoints: [\"{}\"], protocol: http2, passive_health: {{max_failures: 0}}}}}}
routes:
  - name: all
    upstream: one
{route}{rest}",
        upstream.address()
    );
    TestGateway::start(&yaml, plugins)
}

fn fields(names: &[&'static str]) -> HeaderMap {
    names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("forged"))).collect()
}

/// What an upstream sees of a request with these fields, over every protocol.
fn seen_of(gateway: &TestGateway, upstream: &Upstream, names: &[&str], check: impl Fn(&str, &Seen)) {
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let sent: Vec<_> = names.iter().map(|name| (*name, "forged")).collect();
        assert_eq!(client.get_with("/", &sent).status, 200, "{protocol}");
        check(protocol, &upstream.seen().pop().expect("a request"));
    }
}

const CLAIMS: [&str; 16] = [
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-ssl",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-tls-client-cert",
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-cluster-client-ip",
    "front-end-https",
    "client-cert",
    "x-vercel-forwarded-for",
];

#[test]
fn what_only_a_proxy_can_know_reaches_no_service_from_a_stranger() {
    let upstream = Upstream::start(|_| text(200, ""));
    let gateway = start(&upstream, "", "", &[]);
    seen_of(&gateway, &upstream, &CLAIMS, |protocol, seen| {
        for name in CLAIMS {
            assert!(!seen.headers.contains_key(name), "{protocol}: {name}");
        }
        assert_eq!(seen.headers["x-forwarded-for"], "127.0.0.1");
    });
    let trusting = start(&upstream, "", "forwarding: {trusted: [127.0.0.0/8]}\n", &[]);
    seen_of(&trusting, &upstream, &CLAIMS, |protocol, seen| {
        assert!(CLAIMS.iter().all(|name| seen.headers[*name] == "forged"), "{protocol}");
    });
    let keeping = start(&upstream, "", "forwarding: {keep: [x-forwarded-port]}\n", &[]);
    seen_of(&keeping, &upstream, &CLAIMS, |protocol, seen| {
        let left: Vec<_> = CLAIMS.iter().filter(|name| seen.headers.contains_key(**name)).collect();
        assert_eq!(left, [&"x-forwarded-port"], "{protocol}");
    });
}

#[test]
fn names_that_some_servers_read_as_framing_or_forwarding_fields_reach_no_service() {
    const NAMES: [&str; 6] = [
        "x_forwarded_for",
        "x-forwarded_proto",
        "transfer_encoding",
        "content_length",
        "x.real.ip",
        "proxy_authorization",
    ];
    let all: Vec<&str> = NAMES.iter().copied().chain(["my_field"]).collect();
    let upstream = Upstream::start(|_| text(200, ""));
    for (rest, kept) in
        [("", false), ("forwarding: {trusted: [127.0.0.0/8]}\n", false), ("forwarding: {lookalikes: keep}\n", true)]
    {
        let gateway = start(&upstream, "", rest, &[]);
        seen_of(&gateway, &upstream, &all, |protocol, seen| {
            for name in NAMES {
                assert_eq!(seen.headers.contains_key(name), kept, "{protocol}: {name}, {rest}");
            }
            assert!(seen.headers.contains_key("my_field"), "{protocol}");
        });
    }
}

#[test]
fn a_name_that_poses_as_one_that_the_route_sets_reaches_no_service() {
    let upstream = Upstream::start(|_| text(200, ""));
    let gateway = start(&upstream, "    request_headers: {set: {x-user: nobody}, remove: [x-role]}\n", "", &[]);
    seen_of(&gateway, &upstream, &["x-user", "x_user", "x_role", "x-role", "x_other"], |protocol, seen| {
        assert_eq!(seen.headers["x-user"], "nobody", "{protocol}");
        for name in ["x_user", "x_role", "x-role"] {
            assert!(!seen.headers.contains_key(name), "{protocol}: {name}");
        }
        assert!(seen.headers.contains_key("x_other"), "{protocol}");
    });
}

/// What an upstream sees of trailers like these behind a request with this head.
fn trailers_of(
    gateway: &TestGateway,
    upstream: &Upstream,
    protocol: &str,
    head: &[(&str, &str)],
    names: &[&'static str],
) -> Vec<String> {
    let case = format!("{protocol} {names:?}");
    run(&case, async {
        let mut request = http::Request::post("/").header("trailer", names.join(", "));
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        let mut client = Duplex::open(protocol, gateway, request).await;
        client.send("body").await.expect("sent");
        client.finish_with(fields(names)).await;
        assert_eq!(client.head().await.status(), 200, "{case}");
    });
    let seen = upstream.seen().pop().expect("it was forwarded");
    let mut left: Vec<_> =
        seen.trailers.iter().flat_map(|trailers| trailers.keys().map(|name| name.as_str().to_owned())).collect();
    left.sort_unstable();
    left
}

#[test]
fn what_is_taken_off_a_head_does_not_come_back_as_a_trailer() {
    // printf %s alice | sha256sum
    let auth = "    plugins:
      - name: auth
        config:
          require: optional
          api_keys: {name_header: x-caller, keys: [{name: alice, sha256: 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90}]}
          claims_to_headers: {}
    request_headers: {set: {x-set: here}, remove: [x-gone]}\n";
    let rest = "plugins: {directory: plugins, grants: {auth: {upstreams: [one]}}}\n";
    let upstream = Upstream::start(|_| text(200, ""));
    let gateway = start(&upstream, auth, rest, &["auth"]);
    // A client of HTTP/1 of the tests' does not send what it must not.
    for protocol in ["http2", "http3"] {
        let names = [
            "x-caller",
            "x_caller",
            "x-set",
            "x-gone",
            "x-checksum",
            "x-forwarded-port",
            "x-original-url",
            "x-api-key",
        ];
        for head in [&[][..], &[("x-api-key", "alice")]] {
            assert_eq!(trailers_of(&gateway, &upstream, protocol, head, &names), ["x-checksum"], "{protocol} {head:?}");
        }
    }
    let names = ["x-caller", "x-set", "x-gone", "x-checksum"];
    let head = [("connection", "x-hop")];
    assert_eq!(trailers_of(&gateway, &upstream, "http1", &[], &names), ["x-checksum"]);
    assert_eq!(
        trailers_of(&gateway, &upstream, "http1", &head, &["x-hop", "x-checksum"]),
        ["x-checksum"],
        "RFC 9110 7.6.1"
    );
}

#[test]
fn what_a_route_takes_off_a_response_does_not_come_back_as_a_trailer() {
    use gateway_tests::duplex::streamed;
    use gateway_tests::load::Service;
    let upstream = Service::start(|_| async {
        let (mut sender, response) = streamed("text/plain");
        tokio::spawn(async move {
            sender.send_data("body".into()).await.expect("sent");
            let names =
                ["x-internal", "x_internal", "x-set", "x-checksum", "set-cookie", "x-accel-redirect", "location"];
            sender.send_trailers(fields(&names)).await.expect("sent");
        });
        response
    });
    let yaml = format!(
        "{LISTENER}upstreams: {{one: {{endpoints: [\"{}\"], protocol: http2}}}}
routes: [{{name: all, upstream: one, response_headers: {{set: {{x-set: here}}, remove: [x-internal]}}}}]\n",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &[]);
    for protocol in ["http2", "http3"] {
        run(protocol, async {
            let mut client = Duplex::open(protocol, &gateway, http::Request::get("/").header("te", "trailers")).await;
            client.finish().await;
            assert_eq!(client.head().await.status(), 200, "{protocol}");
            let (_, trailers) = client.rest().await.expect("whole");
            let trailers = trailers.expect("trailers");
            assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-checksum"], "{protocol}");
        });
    }
}

/// Answers well, and marks it as reusable, until told to fail.
fn failing(mark: &'static str) -> (Arc<AtomicBool>, Upstream) {
    let failing = Arc::new(AtomicBool::new(false));
    let switch = failing.clone();
    let upstream = Upstream::start(move |seen| {
        if switch.load(Ordering::SeqCst) {
            return text(500, "broken");
        }
        let caller =
            ["x-api-key", "x-session-id", "x-tenant", "cookie"].iter().find_map(|name| seen.headers.get(*name));
        let caller = caller.and_then(|value| value.to_str().ok()).unwrap_or("nobody").to_owned();
        let mut response = text(200, format!("of {caller}"));
        if !mark.is_empty() {
            response.headers_mut().insert("cache-control", mark.parse().expect("valid"));
        }
        response
    });
    (failing, upstream)
}

/// What is answered, while the upstream fails, to each of these callers of a path that `first` had asked for before.
fn stored_for(
    entry: &str,
    rest: &str,
    mark: &'static str,
    first: &[(&str, &str)],
    others: &[&[(&str, &str)]],
) -> Vec<String> {
    let (failing, upstream) = failing(mark);
    let route =
        format!("    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 3, open_for: 1h}}{entry}}}]\n");
    let gateway = start(&upstream, &route, &format!("plugins: {{directory: plugins}}\n{rest}"), &["circuit-breaker"]);
    let mut client = Client::tls("http2", gateway.address(), "localhost");
    assert_eq!(client.get_with("/page", first).status, 200);
    failing.store(true, Ordering::SeqCst);
    eventually("it opens", || (client.get("/other").status == 503).then_some(()));
    others
        .iter()
        .map(|caller| {
            let answer = client.get_with("/page", caller);
            if answer.status == 200 { answer.text() } else { answer.status.to_string() }
        })
        .collect()
}

#[test]
fn a_stored_response_to_a_key_answers_nobody_else() {
    for name in ["x-api-key", "x-session-id", "cookie"] {
        let (alice, bob) = ([(name, "alice")], [(name, "bob")]);
        let answers = stored_for("", "", "max-age=60", &alice, &[&[], &bob, &alice]);
        assert_eq!(answers, ["503", "503", "503"], "{name}: not without a principal (RFC 9111 section 3.5)");
        let answers = stored_for("", "", "public, max-age=60", &alice, &[&[], &bob]);
        assert_eq!(answers, ["of alice", "of alice"], "{name}: the upstream says that it is for all");
    }
    let (alice, bob) = ([("x-tenant", "alice")], [("x-tenant", "bob")]);
    let named = stored_for("", "credentials: [x-tenant]\n", "max-age=60", &alice, &[&[], &bob]);
    assert_eq!(named, ["503", "503"], "a field that the operator names");
}

#[test]
fn a_response_that_says_nothing_of_reuse_is_stored_only_where_the_route_says_so() {
    assert_eq!(stored_for("", "", "", &[], &[&[]]), ["503"]);
    assert_eq!(stored_for("", "", "max-age=0", &[], &[&[]]), ["503"]);
    assert_eq!(stored_for("", "", "max-age=60", &[], &[&[]]), ["of nobody"]);
    assert_eq!(stored_for(", store_unmarked: true", "", "", &[], &[&[]]), ["of nobody"]);
    let alice = [("x-api-key", "alice")];
    assert_eq!(stored_for(", store_unmarked: true", "", "", &alice, &[&[], &alice]), ["503", "503"]);
    assert_eq!(stored_for(", shared: true", "", "", &[], &[&[]]), ["of nobody"]);
}

#[test]
fn a_request_that_comes_back_to_its_gateway_ends() {
    let port = free_port();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:{port}\", protocols: [http1]}}]
upstreams: {{itself: {{endpoints: [\"127.0.0.1:{port}\"]}}}}
routes: [{{name: all, upstream: itself, request_headers: {{remove: [via]}}}}]
"
    );
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Client::http1(gateway.address());
    let response = client.get("/");
    assert_eq!(response.status, 508);
    assert!(response.header("proxy-status").contains("proxy_loop_detected"), "{:?}", response.headers);
    eventually("all records", || (gateway.access_log().len() == 6).then_some(()));
    // A client can't talk it out of counting.
    client.get_with("/again", &[("connection", "cdn-loop"), ("cdn-loop", "x;a=gateway")]);
    eventually("all records", || (gateway.access_log().len() == 12).then_some(()));
}

#[test]
fn a_plugin_that_calls_its_own_gateway_comes_to_an_end() {
    let port = free_port();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:{port}\", protocols: [http1]}}]
upstreams: {{side: {{endpoints: [\"127.0.0.1:{port}\"]}}}}
plugins: {{directory: plugins, grants: {{test-caller: {{upstreams: [side]}}}}}}
routes: [{{name: all, upstream: side, plugins: [{{name: test-caller}}]}}]
"
    );
    let gateway = TestGateway::start(&yaml, &["test-caller"]);
    // The first is a call that equal ones share: it must not wait for itself either.
    for (fields, records) in [(&[][..], 6), (&[("x-hang", "1")], 12)] {
        let response = Client::http1(gateway.address()).get_with("/", fields);
        assert_eq!(response.status, 508, "{}", response.text());
        eventually("all records", || (gateway.access_log().len() == records).then_some(()));
    }
}

#[test]
fn variables_in_header_values_are_filled_in_per_request() {
    let upstream = Upstream::start(|_| text(200, ""));
    let route = "    request_headers:
      set:
        x-client: \"${client.address}\"
        x-where: \"${request.method} ${request.scheme} ${request.host} ${request.path} ${route.name} ${listener.name} ${upstream.name}\"
        x-sni: \"${tls.server_name}\"
        x-id: \"${request.id}\"
        x-port: \"${connection.port}\"
        x-literal: $$remote_addr
    response_headers: {set: {x-served-by: \"${route.name}/${protocol.name}\"}}\n";
    let gateway = start(&upstream, route, "", &[]);
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.address(), "localhost");
        let response = client.get_with("/a,b;c%0d%0ax?q=1", &[("x-client", "forged"), ("x-sni", "forged")]);
        assert_eq!(response.header("x-served-by"), format!("all/{protocol}"));
        let seen = upstream.seen().pop().expect("a request");
        let sent = |name: &str| {
            seen.headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(sent("x-client"), ["127.0.0.1"], "{protocol}");
        assert_eq!(sent("x-where"), ["GET https localhost /a,b;c%0D%0Ax all tls one"], "{protocol}");
        assert_eq!(sent("x-sni"), ["localhost"], "{protocol}");
        assert_eq!(sent("x-id"), [response.header("x-request-id")], "{protocol}");
        assert_eq!(sent("x-port"), [gateway.address().port().to_string()], "{protocol}");
        assert_eq!(sent("x-literal"), ["$remote_addr"], "{protocol}");
    }
}

#[test]
fn a_variable_without_a_value_leaves_no_field_and_not_the_clients() {
    let upstream = Upstream::start(|_| text(200, ""));
    let route = "request_headers: {set: {x-sni: \"${tls.server_name}\"}}";
    let gateway = TestGateway::in_front_of(upstream.address(), route);
    Client::http1(gateway.address()).get_with("/", &[("x-sni", "forged")]);
    assert!(!upstream.seen()[0].headers.contains_key("x-sni"));
}

/// The head of an upload and the first bytes of its body, which never goes on.
fn stalled_upload(address: SocketAddr, framing: &str, begun: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("connected");
    let head = format!("POST /up HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n{begun}");
    socket.write_all(head.as_bytes()).expect("sent");
    socket
}

/// An upstream and a gateway in clear text with a breaker that opens for 300 ms.
fn breaker(
    script: impl Fn(&Seen) -> http::Response<gateway_tests::upstream::ScriptBody> + Send + Sync + 'static,
) -> (Upstream, TestGateway) {
    let upstream = Upstream::start(script);
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
workers: 1
upstreams: {{one: {{endpoints: [\"{}\"], passive_health: {{max_failures: 0}}}}}}
plugins: {{directory: plugins}}
routes:
  - name: all
    upstream: one
    plugins: [{{name: circuit-breaker, config: {{minimum_requests: 3, open_for: 300ms, fallback: {{stored: false}}}}}}]
",
        upstream.address()
    );
    let gateway = TestGateway::start(&yaml, &["circuit-breaker"]);
    (upstream, gateway)
}

#[test]
fn uploads_that_stall_do_not_keep_a_breaker_open() {
    let broken = Arc::new(AtomicBool::new(true));
    let switch = broken.clone();
    let (_upstream, gateway) =
        breaker(move |_| if switch.load(Ordering::SeqCst) { text(500, "") } else { text(200, "") });
    let address = gateway.address();
    let state = |to: &str| gateway.metric("gateway_plugin_custom_circuit_breaker_state_changes_total", &[to]);
    for (round, method) in ["GET", "POST"].into_iter().enumerate() {
        broken.store(true, Ordering::SeqCst);
        eventually("it opens", || (Client::http1(address).get("/").status == 503).then_some(()));
        broken.store(false, Ordering::SeqCst);
        let mut stalled = Vec::new();
        // Everybody who comes before the first good request is an upload that stalls.
        eventually("it is half-open", || {
            stalled.push(stalled_upload(address, "content-length: 10", "12345"));
            stalled.push(stalled_upload(address, "transfer-encoding: chunked", "5\r\n12345\r\n"));
            (state("half_open") > round as f64).then_some(())
        });
        for _ in 0..20 {
            stalled.push(stalled_upload(address, "content-length: 10", "12345"));
            stalled.push(stalled_upload(address, "transfer-encoding: chunked", "5\r\n12345\r\n"));
        }
        let mut client = Client::http1(address);
        let request = http::Request::builder().method(method).uri("/");
        let body = if method == "POST" { "a whole body" } else { "" };
        assert_eq!(client.send(request, body).status, 200, "{method}: the first that is whole is the probe");
        assert_eq!(client.get("/").status, 200, "{method}: closed");
        assert_eq!(state("closed"), (round + 1) as f64);
        for socket in stalled {
            drop(socket);
        }
    }
}

#[test]
fn a_probe_that_answers_and_is_then_cut_opens_the_breaker_again() {
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use http_body_util::channel::Channel;
    let (upstream, gateway) = breaker(|_| {
        let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(4);
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"abc")).await;
            sender.abort(std::io::Error::other("cut"));
        });
        let mut response = text(200, "");
        *response.body_mut() = channel.boxed();
        response
    });
    let ask = || {
        let before = upstream.seen().len();
        let mut socket = TcpStream::connect(gateway.address()).expect("connected");
        socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
        let _ = socket.read_to_end(&mut Vec::new());
        upstream.seen().len() > before
    };
    eventually("it opens", || (!ask()).then_some(()));
    let changes = |to: &str| gateway.metric("gateway_plugin_custom_circuit_breaker_state_changes_total", &[to]);
    eventually("a probe", || ask().then_some(()));
    eventually("open again", || (changes("open") >= 2.0).then_some(()));
    assert_eq!(changes("closed"), 0.0, "a head alone does not close it");
}
