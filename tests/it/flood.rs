//! Clients of HTTP/2 that send what asks for nothing, without end; and busy ones that are none of these.

use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::raw::Http2;

const YAML: &str = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}]
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 200, body: here}}]
workers: 1
";

/// The code of GOAWAY that says why.
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

#[test]
fn a_client_that_floods_a_connection_with_frames_of_control_is_told_to_calm_down_and_its_connection_ends() {
    let gateway = TestGateway::start(YAML, &[]);
    let floods: [(&str, u8, u32, &[u8]); 6] = [
        ("PING", 6, 0, b"are you?"),
        ("SETTINGS", 4, 0, b""),
        ("WINDOW_UPDATE", 8, 0, &[0, 0, 0, 1]),
        ("PRIORITY", 2, 1, &[0, 0, 0, 0, 1]),
        ("RST_STREAM", 3, 1, &[0, 0, 0, 8]),
        ("of an unknown type", 99, 0, b"?"),
    ];
    for (number, (what, kind, stream, payload)) in floods.into_iter().enumerate() {
        let mut client = Http2::connect(gateway.address(), &[]);
        client.get(1);
        client.wait_for("the response", |frame| frame.stream == 1 && frame.flags & 1 == 1);
        for _ in 0..10_500 {
            client.send(kind, 0, stream, payload);
        }
        let end = client.wait_for("GOAWAY", |frame| frame.kind == 7);
        assert_eq!(end.payload[4..8], ENHANCE_YOUR_CALM, "frames {what}");
        assert!(client.frame().is_none(), "frames {what}");
        eventually("the count", || {
            let floods = gateway.metric("gateway_listener_rejected_total", &["reason=\"flood\""]);
            (floods == (number + 1) as f64).then_some(())
        });
    }
}

#[test]
fn requests_that_are_all_reset_at_once_end_their_connection() {
    let yaml = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}]
upstreams: {silent: {endpoints: [\"SILENT\"]}}
routes: [{name: all, match: {path: {prefix: /}}, upstream: silent}]
workers: 1
";
    // Nobody accepts its connections.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let gateway = TestGateway::start(&yaml.replace("SILENT", &address), &[]);
    let mut client = Http2::connect(gateway.address(), &[]);
    for number in 0..12_000 {
        client.get(2 * number + 1);
        client.send(3, 0, 2 * number + 1, &[0, 0, 0, 8]);
    }
    let end = client.wait_for("GOAWAY", |frame| frame.kind == 7);
    assert_eq!(end.payload[4..8], ENHANCE_YOUR_CALM);
    eventually("nothing runs any more", || (gateway.metric("gateway_requests_in_flight", &[]) == 0.0).then_some(()));
}

#[test]
fn a_busy_client_that_opens_its_windows_for_every_response_is_never_cut() {
    let gateway = TestGateway::start(YAML, &[]);
    let mut client = Http2::connect(gateway.address(), &[]);
    for number in 0..10_000 {
        let stream = 2 * number + 1;
        client.get(stream);
        let end = client.wait_for("the end of a response", |frame| frame.stream == stream && frame.flags & 1 == 1);
        assert_eq!(end.payload, b"here", "response {number}");
        for stream in [0, stream] {
            client.send(8, 0, stream, &4_u32.to_be_bytes());
        }
        if number % 4 == 0 {
            client.send(6, 0, 0, b"how far?");
        }
    }
    assert_eq!(gateway.metric("gateway_listener_rejected_total", &["reason=\"flood\""]), 0.0);
}
