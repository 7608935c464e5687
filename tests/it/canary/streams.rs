//! What no decent client sends over HTTP/2 and HTTP/3: pseudo-fields, trailers, header blocks that can't be read, and what a peer
//! says as it goes.

use std::time::Duration;

use gateway_tests::PATIENCE;
use gateway_tests::client::connect_http3;
use gateway_tests::raw::{self, Http2};
use gateway_tests::upstream::Upstream;
use tokio::runtime::Runtime;

use super::{Marks, Talkative};

/// The pseudo-fields of a request, ones that are none, and fields with rules of their own.
const FIELDS: [&str; 9] =
    [":method", ":scheme", ":path", ":authority", ":status", ":protocol", ":odd", "content-length", "te"];

/// Sends all of it; tells how many exchanges that were.
pub(super) fn nonsense(gateway: &Talkative, upstream: &Upstream, marks: &mut Marks) -> usize {
    over_http2(gateway, marks);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    over_http3(gateway, marks, &runtime);
    trailers(gateway, upstream, marks, &runtime);
    2 * FIELDS.len() + 6
}

/// The fields of a GET, with one of them, or one more, of another value.
fn head_with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let known = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "a.example")];
    known.into_iter().filter(|(known, _)| *known != name).chain([(name, value)]).collect()
}

fn length(text: &str) -> u8 {
    u8::try_from(text.len()).expect("short")
}

/// As HPACK has literals without an index (RFC 7541 section 6.2.2).
fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| {
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    fields.iter().flat_map(literal).collect()
}

/// A HEADERS frame, of QPACK's literals with literal names (RFC 9204 section 4.5.6).
fn http3_headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| {
        let name_length = match name.len() {
            short @ ..7 => vec![0x20 | u8::try_from(short).expect("short")],
            long => vec![0x27, u8::try_from(long - 7).expect("short")],
        };
        [&name_length, name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let section: Vec<u8> = [0, 0].into_iter().chain(fields.iter().flat_map(literal)).collect();
    [&[1], &(0x4000 | u16::try_from(section.len()).expect("short")).to_be_bytes()[..], &section].concat()
}

fn over_http2(gateway: &Talkative, marks: &mut Marks) {
    for name in FIELDS {
        let mark = marks.letters(format!("http2 {name}"));
        let mut client = Http2::connect(gateway.clear, &[]);
        client.send(1, 5, 1, &hpack(&head_with(name, &format!("{mark} {mark}"))));
        client.wait_for("a refusal or an answer", |frame| frame.stream == 1 || frame.kind == 7);
    }
    let mark = marks.letters("http2 bad HPACK");
    let mut client = Http2::connect(gateway.clear, &[]);
    client.send(1, 5, 1, &[&[0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], mark.as_bytes()].concat());
    client.wait_for("GOAWAY", |frame| frame.kind == 7);
    let mark = marks.letters("http2 debug data of GOAWAY");
    let mut client = Http2::connect(gateway.clear, &[]);
    client.send(7, 0, 0, &[&[0, 0, 0, 0, 0, 0, 0, 11], mark.as_bytes()].concat());
    // It is read before the end that follows.
    drop(client);
}

/// Sends bytes on a stream of a connection of its own, and waits for an answer or a refusal.
async fn exchange(gateway: &Talkative, what: &str, bytes: &[u8]) -> Vec<u8> {
    let (connection, _endpoint) = raw::quic(gateway.tls, quinn::TransportConfig::default()).await;
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("sent");
    let _ = send.finish();
    let end = tokio::time::timeout(PATIENCE, recv.read_to_end(1 << 16)).await;
    match end.unwrap_or_else(|_| panic!("{what} is neither answered nor refused")) {
        Ok(answer) => answer,
        Err(quinn::ReadToEndError::Read(_)) => Vec::new(),
        Err(error) => panic!("{what}: {error}"),
    }
}

fn over_http3(gateway: &Talkative, marks: &mut Marks, runtime: &Runtime) {
    for name in FIELDS {
        let mark = marks.letters(format!("http3 {name}"));
        let head = http3_headers(&head_with(name, &format!("{mark} {mark}")));
        runtime.block_on(exchange(gateway, name, &head));
    }
    let mark = marks.letters("http3 bad QPACK");
    let section = [&[0xff, 0xff, 0x7f, 0xff], mark.as_bytes()].concat();
    let frame = [&[1, u8::try_from(section.len()).expect("short")], &section[..]].concat();
    runtime.block_on(exchange(gateway, "bad QPACK", &frame));
    let reason = marks.letters("http3 reason of a close");
    runtime.block_on(async {
        let (sender, endpoint, connection) = connect_http3(gateway.tls, "localhost").await.expect("connected");
        connection.close(quinn::VarInt::from_u32(0x102), reason.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(5), endpoint.wait_idle()).await;
        drop(sender);
    });
}

/// Trailers reach the upstream, so they have been read.
fn trailers(gateway: &Talkative, upstream: &Upstream, marks: &mut Marks, runtime: &Runtime) {
    for protocol in ["http2", "http3"] {
        let (name, value) =
            (marks.letters(format!("{protocol} name of a trailer")), marks.letters(format!("{protocol} trailer")));
        let name = format!("x-{name}");
        let mut head = head_with(":method", "POST");
        head.extend([("trailer", &*name)]);
        let trailers = [(&*name, &*value)];
        if protocol == "http2" {
            let mut client = Http2::connect(gateway.clear, &[]);
            client.send(1, 4, 1, &hpack(&head));
            client.send(0, 0, 1, b"body");
            client.send(1, 5, 1, &hpack(&trailers));
            client.wait_for("an answer", |frame| frame.stream == 1 && frame.kind == 1);
        } else {
            let bytes = [http3_headers(&head), [&[0, 4][..], b"body"].concat(), http3_headers(&trailers)].concat();
            let answer = runtime.block_on(exchange(gateway, "a request with trailers", &bytes));
            assert!(!answer.is_empty(), "no answer to a request with trailers");
        }
        let seen = upstream.seen().pop().expect("it went through");
        let arrived = seen.trailers.as_ref().and_then(|trailers| trailers.get(&name));
        assert_eq!(arrived.map(http::HeaderValue::as_bytes), Some(value.as_bytes()), "{protocol}: {seen:?}");
    }
}
