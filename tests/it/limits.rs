//! Time, connections, requests: what a listener lets a client have, on real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::duplex::run;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::raw::{self, Http2};
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use tokio::sync::watch;

fn config(upstream: std::net::SocketAddr, limits: &str, more: &str) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}{limits}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]{limits}}}
upstreams: {{service: {{endpoints: [\"{upstream}\"]}}, dead: {{endpoints: [\"127.0.0.1:1\"]}}}}
routes:
  - {{name: small, match: {{path: {{prefix: /small}}}}, upstream: service, limits: {{body: 10B}}}}
  - {{name: dead, match: {{path: {{prefix: /dead}}}}, upstream: dead}}
  - {{name: all, match: {{path: {{prefix: /service}}}}, upstream: service}}
{more}"
    )
}

fn silent(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

#[test]
fn a_client_of_http2_that_opens_no_window_is_cut_and_its_connection_goes_on() {
    let upstream = Service::start(|_| async { text(200, vec![b'x'; 4 << 20]) });
    let yaml = config(upstream.address(), ", limits: {body_timeout: 1s}", "").replace("prefix: /service", "prefix: /");
    let gateway = TestGateway::start(&yaml, &[]);
    // SETTINGS_INITIAL_WINDOW_SIZE, and one that takes the first bytes only.
    for window in [0, 100_000] {
        let began = Instant::now();
        let mut client = Http2::connect(gateway.listener("clear"), &[(4, window)]);
        client.get(1);
        client.wait_for("RST_STREAM", |frame| frame.kind == 3 && frame.stream == 1);
        assert!(began.elapsed() >= Duration::from_secs(1), "cut after {:?}", began.elapsed());
        client.send(6, 0, 0, b"are you?");
        client.wait_for("the answer to a PING", |frame| frame.kind == 6 && frame.flags == 1);
    }
    eventually("the records", || (gateway.access_log().len() == 2).then_some(()));
    for record in gateway.access_log() {
        assert_eq!((&record["failure"], &record["status"]), (&"cancelled".into(), &200.into()), "{record}");
    }
    eventually("nothing runs any more", || (gateway.metric("gateway_requests_in_flight", &[]) == 0.0).then_some(()));
}

/// The connection may have all of a piece when the client has room for one byte of it.
#[test]
fn a_client_that_does_not_take_the_end_of_a_response_is_cut_and_recorded_as_such() {
    let upstream = Service::start(|_| async { text(200, vec![b'x'; 60_000]) });
    let yaml = config(upstream.address(), ", limits: {body_timeout: 1s}", "").replace("prefix: /service", "prefix: /");
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Http2::connect(gateway.listener("clear"), &[(4, 1)]);
    client.get(1);
    client.wait_for("RST_STREAM", |frame| frame.kind == 3 && frame.stream == 1);
    run("a client of HTTP/3", async {
        let mut transport = quinn::TransportConfig::default();
        transport.stream_receive_window(quinn::VarInt::from_u32(1000));
        let (connection, _endpoint) = raw::quic(gateway.listener("tls"), transport).await;
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&raw::http3_head(raw::GET)).await.expect("sent");
        send.finish().expect("open");
        let reset = recv.received_reset().await.expect("open");
        assert!(reset.is_some(), "it ended well");
    });
    eventually("the records", || (gateway.access_log().len() == 2).then_some(()));
    for record in gateway.access_log() {
        assert_eq!((&record["failure"], &record["status"]), (&"cancelled".into(), &200.into()), "{record}");
    }
}

#[test]
fn a_client_of_http2_that_reads_slowly_but_steadily_is_not_cut() {
    let upstream = Service::start(|_| async { text(200, vec![b'x'; 4 << 20]) });
    let yaml = config(upstream.address(), ", limits: {body_timeout: 1s}", "").replace("prefix: /service", "prefix: /");
    let gateway = TestGateway::start(&yaml, &[]);
    let mut client = Http2::connect(gateway.listener("clear"), &[(4, 0)]);
    client.get(1);
    for _ in 0..8 {
        // A window of 100,000 bytes more for the stream and for the connection, four times a second.
        for stream in [0, 1] {
            client.send(8, 0, stream, &100_000u32.to_be_bytes());
        }
        let mut taken = 0;
        while taken < 100_000 {
            let frame = client.wait_for("content", |frame| frame.kind == 0 || frame.kind == 3);
            assert_eq!(frame.kind, 0, "the stream was reset");
            taken += frame.payload.len();
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {idle_timeout: 1s}", ""), &[]);
    let mut http1 = silent(gateway.listener("clear"));
    http1.write_all(b"GET /service HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut all = Vec::new();
    http1.read_to_end(&mut all).expect("closed in order");
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&all));

    let mut http2 = Http2::connect(gateway.listener("clear"), &[]);
    http2.get(1);
    http2.wait_for("GOAWAY", |frame| frame.kind == 7);
}

#[test]
fn a_client_of_http2_that_vanished_while_it_waits_is_noticed_and_one_that_answers_is_waited_for() {
    let (release, released) = watch::channel(false);
    let upstream = Service::start(move |_| {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            text(200, "late")
        }
    });
    let limits = ", limits: {idle_timeout: 1s, header_timeout: 1s}";
    let yaml = config(upstream.address(), limits, "").replace("prefix: /service", "prefix: /");
    let gateway = TestGateway::start(&yaml, &[]);
    let is_ping = |frame: &raw::Http2Frame| frame.kind == 6 && frame.flags == 0;
    let [mut there, mut gone] = [(); 2].map(|()| Http2::connect(gateway.listener("clear"), &[]));
    there.get(1);
    gone.get(1);
    for _ in 0..4 {
        let ping = there.wait_for("PING", is_ping);
        there.send(6, 1, 0, &ping.payload);
    }
    gone.wait_for("PING", is_ping);
    while let Some(frame) = gone.frame() {
        assert!(!is_ping(&frame), "asked twice");
    }
    eventually("its request is over", || (gateway.metric("gateway_requests_in_flight", &[]) == 1.0).then_some(()));
    release.send(true).expect("the upstream runs");
    let end = there.wait_for("the response", |frame| frame.stream == 1 && frame.flags & 1 == 1);
    assert_eq!(end.payload, b"late");
}

#[test]
fn connections_above_the_limit_are_closed_at_once() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {connections: 2}", ""), &[]);
    let mut held: Vec<Client> = (0..2).map(|_| Client::http1(gateway.listener("clear"))).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/service").status, 200));
    let mut third = silent(gateway.listener("clear"));
    assert!(matches!(third.read(&mut [0; 1]), Ok(0) | Err(_)), "the third connection was served");
    // Each listener has its own; HTTP/3 counts with the TCP connections of its port.
    let mut held: Vec<Client> =
        ["http3", "http2"].map(|protocol| Client::tls(protocol, gateway.listener("tls"), "localhost")).into();
    held.iter_mut().for_each(|client| assert_eq!(client.get("/service").status, 200));
    let refused = Client::try_tls("http3", gateway.listener("tls"), "localhost");
    assert!(refused.is_err(), "a third connection was served over HTTP/3");
    drop(held);
    eventually("places become free", || {
        let client = Client::try_tls("http3", gateway.listener("tls"), "localhost");
        client.ok().and_then(|mut client| client.try_send(http::Request::get("/service"), "").ok())
    });
}

#[test]
fn overload_is_answered_with_503_and_retry_after_on_every_protocol() {
    let (release, released) = watch::channel(false);
    let upstream = Service::start(move |_| {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            text(200, "late")
        }
    });
    let more = "workers: 1\nlimits: {requests_per_worker: 1}\n";
    let gateway = TestGateway::start(&config(upstream.address(), "", more), &[]);
    let address = gateway.listener("clear");
    let first = std::thread::spawn(move || Client::http1(address).get("/service").text());
    eventually("it is in flight", || (gateway.metric("gateway_requests_in_flight", &[]) == 1.0).then_some(()));
    for protocol in PROTOCOLS {
        let response = Client::tls(protocol, gateway.listener("tls"), "localhost").get("/service");
        assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{protocol}");
    }
    release.send(true).expect("the upstream runs");
    assert_eq!(first.join().expect("a client"), "late");
}

#[test]
fn every_refusal_has_one_record_on_every_protocol() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), "", ""), &[]);
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let statuses = [
            client.get("/nowhere").status,
            client.post("/small", "text/plain", "more than ten bytes").status,
            client.get("/dead").status,
        ];
        assert_eq!(statuses, [404, 413, 502], "{protocol}");
        let records = eventually("their records", || {
            let records = gateway.access_log();
            (records.len() >= 3 * (number + 1)).then_some(records)
        });
        assert_eq!(records.len(), 3 * (number + 1), "{protocol}: one record per request");
        let logged: Vec<u64> = records[3 * number..].iter().filter_map(|record| record["status"].as_u64()).collect();
        assert_eq!(logged, statuses.map(u64::from), "{protocol}");
    }
}

#[test]
fn errors_reach_a_grpc_client_as_its_own_status() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), "", ""), &[]);
    for protocol in ["http2", "http3"] {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        for (path, status) in [("/nowhere/Method", "12"), ("/dead/Method", "14")] {
            let response = client.post(path, "application/grpc", "\0\0\0\0\0");
            assert_eq!((response.status, response.header("grpc-status")), (200, status), "{protocol} {path}");
            assert_eq!(response.header("content-type"), "application/grpc");
            assert!(response.body.is_empty());
        }
    }
}
