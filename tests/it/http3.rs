//! HTTP/3 from clients that do not keep to it, on raw QUIC streams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::gateway::Drained;
use gateway_tests::client::Client;
use gateway_tests::duplex::streamed;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Service;
use gateway_tests::raw::{self, GET, POST, http3_head};
use gateway_tests::upstream::{Upstream, text};
use http_body_util::BodyExt;
use quinn::{ApplicationClose, ConnectionError, VarInt};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

const H3_NO_ERROR: u32 = 0x100;
const H3_FRAME_UNEXPECTED: u32 = 0x105;
const H3_FRAME_ERROR: u32 = 0x106;
const QPACK_ENCODER_STREAM_ERROR: u32 = 0x201;
const QPACK_DECODER_STREAM_ERROR: u32 = 0x202;
const H3_EXCESSIVE_LOAD: u32 = 0x107;
const H3_MESSAGE_ERROR: u32 = 0x10e;
const H3_REQUEST_REJECTED: u32 = 0x10b;

fn config(upstream: SocketAddr, limits: &str) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}{limits}}}
upstreams: {{service: {{endpoints: [\"{upstream}\"], protocol: http2}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
workers: 1
"
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(gateway_tests::PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// The code with which the gateway closed the connection.
async fn closed(what: &str, connection: &quinn::Connection) -> u32 {
    match in_time(what, connection.closed()).await {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. }) => {
            u32::try_from(error_code.into_inner()).expect("a code of HTTP/3")
        }
        other => panic!("{what}: {other}"),
    }
}

/// A GET on a stream of its own.
async fn get(connection: &quinn::Connection) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, recv) = connection.open_bi().await.expect("a stream");
    send.write_all(&http3_head(GET)).await.expect("sent");
    send.finish().expect("open");
    (send, recv)
}

#[test]
fn what_breaks_the_framing_ends_its_connection_and_no_other() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    // Type 0x21, a length of 2^40, and the first of it.
    let endless = [&[0x21, 0xc0, 0, 1, 0, 0, 0, 0, 0, 0], &[0; 4096][..]].concat();
    let half = [&http3_head(POST)[..], &[0, 0x40, 100], &[b'x'; 50]].concat();
    let cases: [(&str, bool, Vec<u8>, u32); 7] = [
        ("an endless frame on the control stream", true, [&[0, 4, 0], &endless[..]].concat(), H3_EXCESSIVE_LOAD),
        ("a frame hidden behind an id", true, [&[0, 4, 0, 7, 11, 0], &endless[..]].concat(), H3_FRAME_ERROR),
        ("content on the control stream", true, vec![0, 4, 0, 0, 1, b'x'], H3_FRAME_UNEXPECTED),
        // RFC 9204 sections 4.3 and 4.4: the gateway offers no dynamic table, and uses none.
        ("an entry for a table that was not offered", true, vec![2, 0x20, 0x41, b'a', 0], QPACK_ENCODER_STREAM_ERROR),
        ("an acknowledgment of what was never sent", true, vec![3, 0x44, 0x81], QPACK_DECODER_STREAM_ERROR),
        ("a request that ends inside its content", false, half, H3_FRAME_ERROR),
        ("a request that ends inside its head", false, http3_head(GET)[..4].to_vec(), H3_FRAME_ERROR),
    ];
    for (what, unidirectional, bytes, code) in cases {
        runtime().block_on(async {
            let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
            let (mut send, _recv) = if unidirectional {
                (connection.open_uni().await.expect("a stream"), None)
            } else {
                let (send, recv) = connection.open_bi().await.expect("a stream");
                (send, Some(recv))
            };
            send.write_all(&bytes).await.expect("sent");
            if !unidirectional {
                send.finish().expect("open");
            }
            assert_eq!(closed(what, &connection).await, code, "{what}");
        });
        assert_eq!(Client::tls("http3", gateway.address(), "localhost").get("/").status, 200, "after {what}");
    }
}

#[test]
fn malformed_requests_are_reset_and_counted_and_reach_no_upstream() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    let extended = [&http3_head(GET)[2..], &[0x27, 2], b":protocol", &[9], b"websocket"].concat();
    let extended = [&[1, u8::try_from(extended.len()).expect("short")], &extended[..]].concat();
    let large = [&[1, 0x80, 2, 0, 0], &[0; 1000][..]].concat();
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
        for (what, bytes, code) in [
            ("a pseudo-header field of an extension", extended, H3_MESSAGE_ERROR),
            ("a large head", large, H3_EXCESSIVE_LOAD),
        ] {
            let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
            send.write_all(&bytes).await.expect("sent");
            let end = in_time(what, recv.read_to_end(1000)).await;
            let Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(reset))) = end else {
                panic!("{what}: {end:?}")
            };
            assert_eq!(reset, VarInt::from_u32(code), "{what}");
        }
        // The connection goes on.
        let (_, mut recv) = get(&connection).await;
        assert!(!in_time("a response", recv.read_to_end(10_000)).await.expect("whole").is_empty());
    });
    assert_eq!(upstream.seen().len(), 1);
    eventually("both are counted", || {
        (gateway.metric("gateway_listener_rejected_total", &["malformed"]) as usize == 2).then_some(())
    });
}

#[test]
fn heads_of_many_fields_are_answered_with_431() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    // `accept: */*` of the static table, a byte each: above the number of fields, and above the bytes when decoded.
    for (count, content) in [(97, &b"ok"[..]), (150, b"\"status\":431"), (3000, b"")] {
        let fields = [&http3_head(GET)[2..], &vec![0xc0 | 29; count]].concat();
        let length = u16::try_from(fields.len()).expect("short") | 0x4000;
        let head = [&[1], &length.to_be_bytes()[..], &fields].concat();
        runtime().block_on(async {
            let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
            let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
            send.write_all(&head).await.expect("sent");
            send.finish().expect("open");
            let response = in_time("a response", recv.read_to_end(10_000)).await.expect("whole");
            assert_eq!(response.first(), Some(&1), "{count} fields: a head");
            let found = content.is_empty() || response.windows(content.len()).any(|window| window == content);
            assert!(found, "{count} fields: {:?}", String::from_utf8_lossy(&response));
        });
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn trailers_that_come_with_the_head_reach_the_upstream() {
    let (give, mut take) = mpsc::unbounded_channel();
    let upstream = Service::start(move |request| {
        let give = give.clone();
        async move {
            let whole = request.into_body().collect().await.expect("whole");
            let _ = give.send(whole.trailers().cloned());
            text(200, "ok")
        }
    });
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
        for (what, content) in [("no content", &[][..]), ("an empty frame", &[0, 0]), ("content", &[0, 2, b'h', b'i'])]
        {
            let (mut send, _recv) = connection.open_bi().await.expect("a stream");
            let trailers = [1, 8, 0, 0, 0x23, b'x', b'-', b't', 1, b'1'];
            send.write_all(&[&http3_head(POST), content, &trailers[..]].concat()).await.expect("sent");
            send.finish().expect("open");
            let seen = in_time(what, take.recv()).await.expect("a request").expect("trailers");
            assert_eq!(seen["x-t"], "1", "{what}");
        }
    });
}

#[test]
fn a_body_of_many_small_frames_arrives_whole() {
    let upstream = Upstream::start(|seen| text(200, seen.body.clone()));
    let gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        let frames: Vec<u8> = (0..2_000u32).flat_map(|number| [0, 1, b'a' + (number % 26) as u8]).collect();
        send.write_all(&[&http3_head(POST)[..], &frames].concat()).await.expect("sent");
        send.finish().expect("open");
        let response = in_time("a response", recv.read_to_end(100_000)).await.expect("whole");
        assert_eq!(response.first(), Some(&1), "{:?}", String::from_utf8_lossy(&response));
    });
    let seen = upstream.seen();
    assert_eq!(seen[0].body.len(), 2_000);
    assert!(seen[0].body.iter().zip(0u32..).all(|(byte, number)| *byte == b'a' + (number % 26) as u8));
}

#[test]
fn an_idle_connection_is_closed_although_it_sends_pings() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {idle_timeout: 1s}"), &[]);
    runtime().block_on(async {
        let mut transport = quinn::TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_millis(100)));
        let (connection, _endpoint) = raw::quic(gateway.address(), transport).await;
        let (_, mut recv) = get(&connection).await;
        in_time("a response", recv.read_to_end(10_000)).await.expect("whole");
        assert_eq!(closed("the idle timeout", &connection).await, H3_NO_ERROR);
    });
}

#[test]
fn a_stream_that_is_silent_for_longer_than_the_idle_timeout_goes_on() {
    let (give, responses) = std::sync::mpsc::channel();
    let upstream = Service::start(move |_| {
        let (mut sender, response) = streamed("text/event-stream");
        let give = give.clone();
        tokio::spawn(async move {
            sender.send_data("first".into()).await.expect("sent");
            let _ = give.send(sender);
        });
        async move { response }
    });
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {idle_timeout: 1s}"), &[]);
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
        let (_send, mut recv) = get(&connection).await;
        in_time("a head", recv.read_chunk(10_000, true)).await.expect("open");
        let mut sender = responses.recv().expect("it was begun");
        let closed = tokio::time::timeout(Duration::from_millis(2500), connection.closed()).await;
        assert!(closed.is_err(), "{closed:?}");
        sender.send_data("second".into()).await.expect("sent");
        drop(sender);
        let rest = in_time("the rest", recv.read_to_end(10_000)).await.expect("whole");
        assert!(rest.windows(6).any(|window| window == b"second"), "{rest:?}");
    });
}

/// Hands datagrams to and fro; while the way is narrow, those of the gateway pass one after the other.
async fn narrow(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let (narrow, narrowed) = watch::channel(false);
    tokio::spawn(async move {
        let (mut client, mut held) = (to, VecDeque::new());
        let mut datagram = [0; 65536];
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                received = socket.recv_from(&mut datagram) => match received.expect("a datagram") {
                    (length, from) if from == to => held.push_back(datagram[..length].to_vec()),
                    (length, from) => {
                        client = from;
                        socket.send_to(&datagram[..length], to).await.expect("sent");
                    }
                },
                _ = pace.tick() => {
                    if let Some(datagram) = held.pop_front() {
                        socket.send_to(&datagram, client).await.expect("sent");
                    }
                }
            }
            if !*narrowed.borrow() {
                for datagram in held.drain(..) {
                    socket.send_to(&datagram, client).await.expect("sent");
                }
            }
        }
    });
    (address, narrow)
}

#[test]
fn a_drain_does_not_discard_what_a_slow_network_has_not_carried_yet() {
    let length = 1 << 20;
    let upstream = Upstream::start(move |_| text(200, vec![b'x'; length]));
    let mut gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    runtime().block_on(async {
        let (relay, narrow) = narrow(gateway.address()).await;
        let (connection, _endpoint) = raw::quic(relay, quinn::TransportConfig::default()).await;
        narrow.send_replace(true);
        let (_send, mut recv) = get(&connection).await;
        gateway.logged("the response is written", |record| record["status"] == 200);
        let mut draining = tokio::task::spawn_blocking(move || gateway.drain());
        let drained = tokio::time::timeout(Duration::from_secs(5), &mut draining).await;
        assert!(drained.is_err(), "{drained:?}, and little has arrived");
        narrow.send_replace(false);
        let response = in_time("the response", recv.read_to_end(2 * length)).await.expect("whole");
        assert!(response.len() > length);
        drop(connection);
        assert_eq!(draining.await.expect("no panic"), Drained::Clean);
    });
}

/// The ids of the GOAWAY frames in what a server has sent on its control stream.
fn go_aways(mut control: &[u8]) -> Vec<u64> {
    fn var_int(bytes: &mut &[u8]) -> Option<u64> {
        let first = *bytes.first()?;
        let (mine, rest) = bytes.split_at_checked(1 << (first >> 6))?;
        *bytes = rest;
        Some(mine[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
    }
    let mut ids = Vec::new();
    let _ = var_int(&mut control);
    while let (Some(kind), Some(length)) = (var_int(&mut control), var_int(&mut control)) {
        let Some((mut payload, rest)) = control.split_at_checked(length as usize) else { break };
        if kind == 7 {
            ids.extend(var_int(&mut payload));
        }
        control = rest;
    }
    ids
}

#[test]
fn a_drain_says_which_requests_are_served_and_refuses_exactly_the_others() {
    let (release, released) = watch::channel(false);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let upstream = Service::start(move |_| {
        let _ = arrived.send(());
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            text(200, "served")
        }
    });
    let mut gateway = TestGateway::start(&config(upstream.address(), ""), &[]);
    let address = gateway.address();
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(address, quinn::TransportConfig::default()).await;
        let (_first, mut response) = get(&connection).await;
        in_time("the request is in flight", arrivals.recv()).await;
        let draining = std::thread::spawn(move || gateway.drain());
        let mut control = Vec::new();
        in_time("both GOAWAY frames", async {
            // The control stream is the first that a server opens.
            let mut stream = connection.accept_uni().await.expect("a stream");
            while go_aways(&control).len() < 2 {
                let chunk = stream.read_chunk(1000, true).await.expect("open").expect("open");
                control.extend_from_slice(&chunk.bytes);
            }
        })
        .await;
        assert_eq!(go_aways(&control), [(1 << 62) - 4, 4], "nothing is excluded at first, then what comes next");
        let (_late, mut refused) = get(&connection).await;
        let end = in_time("the late request is refused", refused.read_to_end(1000)).await;
        let Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) = end else { panic!("{end:?}") };
        assert_eq!(code, VarInt::from_u32(H3_REQUEST_REJECTED));
        release.send(true).expect("the upstream runs");
        let response = in_time("the response", response.read_to_end(10_000)).await.expect("whole");
        assert!(response.windows(6).any(|window| window == b"served"));
        drop(connection);
        assert_eq!(draining.join().expect("drained"), Drained::Clean);
    });
}

/// What a relay has seen.
#[derive(Default)]
struct Relayed {
    /// Datagrams of clients.
    passed: AtomicUsize,
    /// Retry packets of the gateway, RFC 9000 section 17.2.5.
    retries: AtomicUsize,
}

/// Hands datagrams to the gateway and nothing back, as for a client whose address is forged.
async fn one_way(to: SocketAddr) -> (SocketAddr, Arc<Relayed>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let (address, relayed) = (socket.local_addr().expect("bound"), Arc::<Relayed>::default());
    let counts = relayed.clone();
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            if from == to {
                counts.retries.fetch_add(usize::from(datagram[0] & 0xf0 == 0xf0), Ordering::SeqCst);
            } else {
                let _ = socket.send_to(&datagram[..length], to).await;
                counts.passed.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, relayed)
}

#[test]
fn forged_addresses_do_not_take_the_places_of_clients() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {connections: 20}"), &[]);
    let runtime = runtime();
    let relayed = runtime.block_on(async {
        let (relay, relayed) = one_way(gateway.address()).await;
        for _ in 0..150 {
            tokio::spawn(raw::quic(relay, quinn::TransportConfig::default()));
        }
        relayed
    });
    eventually("the forged handshakes have begun", || (relayed.passed.load(Ordering::SeqCst) >= 150).then_some(()));
    assert_eq!(Client::tls("http3", gateway.address(), "localhost").get("/").status, 200);
    eventually("most have to prove their address", || (relayed.retries.load(Ordering::SeqCst) > 50).then_some(()));
    // They go without a word: nobody waits for their handshakes.
    runtime.shutdown_background();
}

#[test]
fn as_many_requests_run_at_once_as_the_listener_allows() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let upstream = Service::start(move |_| {
        let _ = arrived.send(());
        std::future::pending()
    });
    let gateway = TestGateway::start(&config(upstream.address(), ", limits: {streams: 130}"), &[]);
    runtime().block_on(async {
        let (connection, _endpoint) = raw::quic(gateway.address(), quinn::TransportConfig::default()).await;
        let mut streams = Vec::new();
        for number in 0..130 {
            streams.push(in_time(&format!("stream {number}"), get(&connection)).await);
            in_time(&format!("request {number}"), arrivals.recv()).await;
        }
        let more = tokio::time::timeout(Duration::from_millis(100), connection.open_bi()).await;
        assert!(more.is_err(), "one more");
    });
}
