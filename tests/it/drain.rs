//! Draining: what was accepted is answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::gateway::Drained;
use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::raw::Http2;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use tokio::sync::Notify;

const FIXED: &str = "listeners:
  - {name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2], tls: {self_signed: [localhost]}}
  - {name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}
  - {name: http1, address: \"127.0.0.1:0\", protocols: [http1]}
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 200, body: whole}}]
drain_timeout: 25s
";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// A connection that has had a request and a response.
fn kept_alive(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(REQUEST).expect("sent");
    let (mut response, mut piece) = (Vec::new(), [0; 1024]);
    while !response.ends_with(b"whole") {
        let count = stream.read(&mut piece).expect("a response");
        assert!(count > 0, "the connection was closed");
        response.extend_from_slice(&piece[..count]);
    }
    stream
}

/// The response up to the end of the connection.
fn last_response(mut stream: TcpStream) -> String {
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

#[test]
fn what_lies_in_sockets_and_queues_when_the_drain_begins_is_answered() {
    for listener in ["http1", "clear"] {
        let mut gateway = TestGateway::start(FIXED, &[]);
        let address = gateway.listener(listener);
        let mut connections: Vec<TcpStream> = (0..40).map(|_| kept_alive(address)).collect();
        connections.extend((0..40).map(|_| connect(address)));
        for connection in &mut connections {
            connection.write_all(REQUEST).expect("sent");
        }
        let draining = std::thread::spawn(move || gateway.drain());
        for (number, connection) in connections.into_iter().enumerate() {
            let response = last_response(connection);
            assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("whole"), "{number}: {response:?}");
        }
        assert_eq!(draining.join().expect("drained"), Drained::Clean);
    }
}

#[test]
fn a_head_that_has_begun_is_waited_for_and_its_response_is_the_last() {
    for listener in ["http1", "clear"] {
        let mut gateway = TestGateway::start(FIXED, &[]);
        let address = gateway.listener(listener);
        let (first, second) = REQUEST.split_at(20);
        let mut connections = [kept_alive(address), connect(address)];
        for connection in &mut connections {
            connection.write_all(first).expect("sent");
        }
        let mut admin = Client::http1(gateway.admin());
        let draining = std::thread::spawn(move || gateway.drain());
        eventually("the drain has begun", || (admin.get("/readyz").status == 503).then_some(()));
        for mut connection in connections {
            connection.write_all(second).expect("sent");
            let response = last_response(connection);
            assert!(response.starts_with("HTTP/1.1 200"), "{listener}: {response:?}");
            assert!(response.contains("connection: close"), "{listener}: {response:?}");
        }
        assert_eq!(draining.join().expect("drained"), Drained::Clean);
    }
}

#[test]
fn clients_that_say_nothing_do_not_hold_a_drain() {
    let mut gateway = TestGateway::start(FIXED, &[]);
    // It answers no PING, and so never says that it has seen GOAWAY.
    let mut silent = Http2::connect(gateway.listener("clear"), &[]);
    silent.get(1);
    silent.wait_for("the response", |frame| frame.kind == 0 && frame.flags & 1 == 1);
    let _no_handshake = connect(gateway.listener("tls"));
    let _no_preface = connect(gateway.listener("clear"));
    let mut half_a_preface = connect(gateway.listener("clear"));
    half_a_preface.write_all(b"PRI * HT").expect("sent");
    let began = Instant::now();
    assert_eq!(gateway.drain(), Drained::Clean);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn a_request_in_flight_is_finished_before_the_gateway_ends() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (arrived.clone(), release.clone());
    let upstream = Upstream::start_async(move |_| {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
            text(200, "late but whole")
        }
    });
    let yaml = format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2], tls: {{self_signed: [localhost]}}}}]
upstreams: {{slow: {{endpoints: [\"{}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: slow}}]
drain_timeout: 20s
",
        upstream.address()
    );
    for protocol in ["http1", "http2"] {
        let mut gateway = TestGateway::start(&yaml, &[]);
        let address = gateway.address();
        let request = std::thread::spawn(move || Client::tls(protocol, address, "localhost").get("/"));
        wait_for(&arrived);
        let mut admin = Client::http1(gateway.admin());
        let draining = std::thread::spawn(move || gateway.drain());
        eventually("the drain has begun", || (admin.get("/readyz").status == 503).then_some(()));
        release.notify_one();
        let response = request.join().expect("answered");
        assert_eq!((response.status, response.text()), (200, "late but whole".to_owned()), "{protocol}");
        assert_eq!(draining.join().expect("drained"), Drained::Clean, "{protocol}");
    }
}

fn wait_for(notify: &Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, notify.notified()).await }).expect("in time");
}
