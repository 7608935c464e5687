//! HTTP/3 clients that keep the gateway busy with what asks for nothing, and those that only seem to.

use std::net::SocketAddr;

use gateway_tests::gateway::TestGateway;
use gateway_tests::raw::{self, GET, POST, http3_head};
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{PATIENCE, eventually};
use quinn::{ApplicationClose, ConnectionError, SendStream, VarInt};
use tokio::runtime::Runtime;

const H3_EXCESSIVE_LOAD: u32 = 0x107;
const H3_REQUEST_CANCELLED: VarInt = VarInt::from_u32(0x10c);

fn config(upstream: SocketAddr) -> String {
    format!(
        "listeners: [{{name: tls, address: \"127.0.0.1:0\", protocols: [http3], tls: {{self_signed: [localhost]}}}}]
upstreams: {{service: {{endpoints: [\"{upstream}\"]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
workers: 1
"
    )
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn connect(gateway: &TestGateway) -> (quinn::Connection, quinn::Endpoint) {
    raw::quic(gateway.address(), quinn::TransportConfig::default()).await
}

/// Asks, and gives up at once. An error: the connection is over.
async fn ask_and_give_up(connection: &quinn::Connection, head: &[u8]) -> Result<(), ConnectionError> {
    let (mut send, mut recv) = connection.open_bi().await?;
    // Errors say that the connection is over, which the next stream tells.
    let _ = send.write_all(head).await;
    let _ = (send.reset(H3_REQUEST_CANCELLED), recv.stop(H3_REQUEST_CANCELLED));
    Ok(())
}

/// Sends the same bytes on a stream until the connection is over, and at most as many times.
async fn repeat(mut send: SendStream, first: &[u8], again: &[u8], times: usize) {
    let _ = send.write_all(first).await;
    for _ in 0..times.div_ceil(100) {
        if send.write_all(&again.repeat(100)).await.is_err() {
            // The connection is cut, or the stream: whoever waits for that says which.
            break;
        }
    }
    std::future::pending::<()>().await;
}

async fn assert_cut(what: &str, connection: &quinn::Connection) {
    let closed = tokio::time::timeout(PATIENCE, connection.closed()).await;
    let Ok(ConnectionError::ApplicationClosed(ApplicationClose { error_code, .. })) = closed else {
        panic!("{what}: {closed:?}")
    };
    assert_eq!(error_code, VarInt::from_u32(H3_EXCESSIVE_LOAD), "{what}");
}

#[test]
fn a_client_that_asks_and_gives_up_all_the_time_is_cut() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    runtime().block_on(async {
        // Whole requests, heads without an end, and streams on which nothing comes at all.
        for (what, head) in [("requests", http3_head(GET)), ("parts of heads", vec![1]), ("streams", Vec::new())] {
            let (connection, _endpoint) = connect(&gateway).await;
            let mut asked = 0;
            while asked < 100_000 && ask_and_give_up(&connection, &head).await.is_ok() {
                asked += 1;
            }
            assert!(asked < 50_000, "{what}: {asked}");
            assert_cut(what, &connection).await;
        }
    });
    eventually("floods are counted", || {
        (gateway.metric("gateway_listener_rejected_total", &["flood"]) as usize == 3).then_some(())
    });
}

#[test]
fn a_client_that_gives_up_one_side_of_its_requests_all_the_time_is_cut() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    runtime().block_on(async {
        for upload in [true, false] {
            let (connection, _endpoint) = connect(&gateway).await;
            let mut asked = 0;
            while asked < 100_000
                && let Ok((mut send, mut recv)) = connection.open_bi().await
            {
                // An upload that breaks off, whose answer is let come; or a whole request whose answer is not wanted.
                let _ = send.write_all(&http3_head(if upload { POST } else { GET })).await;
                let _ = if upload { send.reset(H3_REQUEST_CANCELLED) } else { send.finish() };
                if !upload {
                    let _ = recv.stop(H3_REQUEST_CANCELLED);
                }
                asked += 1;
            }
            assert!(asked < 50_000, "upload: {upload}: {asked}");
            assert_cut("one side", &connection).await;
        }
    });
}

#[test]
fn a_client_that_gives_up_now_and_then_is_served() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    runtime().block_on(async {
        let (connection, _endpoint) = connect(&gateway).await;
        for number in 0..1000 {
            if number % 5 == 0 {
                ask_and_give_up(&connection, &http3_head(GET)).await.expect("open");
                continue;
            }
            let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
            send.write_all(&http3_head(GET)).await.expect("sent");
            send.finish().expect("open");
            let response = tokio::time::timeout(PATIENCE, recv.read_to_end(10_000)).await.expect("in time");
            assert!(!response.expect("whole").is_empty());
        }
        assert!(connection.close_reason().is_none());
    });
}

#[test]
fn frames_and_streams_that_ask_for_nothing_are_a_flood() {
    let upstream = Upstream::start(|_| text(200, "ok"));
    let gateway = TestGateway::start(&config(upstream.address()), &[]);
    let settings: &[u8] = &[0, 4, 0];
    let post = http3_head(POST);
    // On a request's stream or on one of the client's own: what comes first, and what comes again and again.
    let cases: [(&str, bool, &[u8], &[u8]); 7] = [
        ("empty DATA", false, &post, &[0, 0]),
        ("unknown frames in a request", false, &post, &[0x21, 1, 0]),
        ("unknown frames before a request", false, &[], &[0x21, 0]),
        ("unknown control frames", true, settings, &[0x21, 0]),
        // RFC 9218 section 7.2: of request 0.
        ("PRIORITY_UPDATE", true, settings, &[0x80, 0x0f, 0x07, 0x00, 4, 0, b'u', b'=', b'1']),
        ("MAX_PUSH_ID", true, settings, &[0xd, 1, 1]),
        ("cancellations of QPACK", true, &[3], &[0x44]),
    ];
    runtime().block_on(async {
        for (what, unidirectional, first, again) in cases {
            let (connection, _endpoint) = connect(&gateway).await;
            let (send, _recv) = if unidirectional {
                (connection.open_uni().await.expect("a stream"), None)
            } else {
                let (send, recv) = connection.open_bi().await.expect("a stream");
                (send, Some(recv))
            };
            tokio::select! {
                () = repeat(send, first, again, 100_000) => unreachable!("it waits for the end"),
                () = assert_cut(what, &connection) => {}
            }
        }
        let (connection, _endpoint) = connect(&gateway).await;
        let mut opened = 0;
        while opened < 100_000
            && let Ok(mut send) = connection.open_uni().await
        {
            let _ = send.write_all(&[0x21]).await;
            let _ = send.finish();
            opened += 1;
        }
        assert!(opened < 50_000, "{opened}");
        assert_cut("streams of unknown types", &connection).await;
    });
}
