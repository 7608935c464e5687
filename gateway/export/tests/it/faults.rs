//! Collectors that answer with something else than thanks.

use std::time::{Duration, Instant};

use telemetry_export::{DropReason, Protocol};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::made::{export, quick, span, until};
use crate::receiver::{PATIENCE, Receiver, Reply, settings};

const OTLP: [Protocol; 2] = [Protocol::OtlpHttp, Protocol::OtlpGrpc];

#[tokio::test]
async fn a_busy_collector_gets_the_same_batch_again() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin] {
        let receiver = Receiver::start(protocol, &[Reply::Busy(None), Reply::Busy(None)]).await;
        let export = export(receiver.settings(), quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.sent() == 1).await;
        let counters = export.counters();
        assert_eq!((receiver.count(), counters.exports(), counters.failed_exports()), (3, 3, 2), "{protocol:?}");
        assert!(counters.is_reachable());
        assert_eq!(counters.dropped_in_all(), 0);
    }
}

#[tokio::test]
async fn a_time_to_wait_is_waited() {
    for protocol in OTLP {
        let receiver = Receiver::start(protocol, &[Reply::Busy(Some(Duration::from_secs(1)))]).await;
        let export = export(receiver.settings(), quick());
        let begun = Instant::now();
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.sent() == 1).await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "{protocol:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again_and_does_not_hold_up_the_rest() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin] {
        let receiver = Receiver::start(protocol, &[Reply::Refuse]).await;
        let export = export(receiver.settings(), quick());
        export.sink().send(vec![span("a"), span("b")]);
        until(export.counters(), |counters| counters.dropped(DropReason::Refused) == 2).await;
        export.sink().send(vec![span("c")]);
        until(export.counters(), |counters| counters.sent() == 1).await;
        assert_eq!(receiver.count(), 2, "{protocol:?}");
    }
}

#[tokio::test]
async fn what_is_not_taken_of_a_batch_is_counted() {
    for protocol in OTLP {
        // More than there were is no more than all of them, fewer than none is none.
        let receiver = Receiver::start(protocol, &[Reply::Partly(2), Reply::Partly(100), Reply::Partly(-1)]).await;
        let export = export(receiver.settings(), quick());
        let sink = export.sink();
        for (round, (sent, rejected)) in [(1, 2), (1, 5), (4, 5)].into_iter().enumerate() {
            sink.send(vec![span("a"), span("b"), span("c")]);
            until(export.counters(), |counters| counters.exports() == round as u64 + 1 && counters.queued() == 0).await;
            let counters = export.counters();
            assert_eq!((counters.sent(), counters.dropped(DropReason::Rejected)), (sent, rejected), "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_or_has_no_end_is_still_a_success() {
    let receiver = Receiver::start(Protocol::OtlpHttp, &[Reply::Garbage, Reply::Endless]).await;
    let export = export(receiver.settings(), quick());
    for sent in 1..=3 {
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.sent() == sent).await;
    }
    assert_eq!(export.counters().failed_exports(), 0);
}

#[tokio::test]
async fn a_collector_that_hangs_is_given_up_on_in_time_and_tried_again() {
    for protocol in OTLP {
        let receiver = Receiver::start(protocol, &[Reply::Hang]).await;
        let mut settings = receiver.settings();
        settings.timeout = Duration::from_millis(200);
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.sent() == 1).await;
        assert_eq!((export.counters().failed_exports(), receiver.count()), (1, 2), "{protocol:?}");
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_hangs() {
    for protocol in OTLP {
        let receiver = Receiver::start(protocol, &[Reply::Hang]).await;
        let export = export(receiver.settings(), quick());
        let (sink, counters) = (export.sink(), export.counters().clone());
        sink.send(vec![span("a")]);
        receiver.requests(1).await;
        sink.send(vec![span("b"), span("c")]);
        let begun = Instant::now();
        export.finish(Duration::from_millis(200)).await;
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!((counters.sent(), counters.dropped(DropReason::Shutdown), counters.queued()), (0, 3, 0));
        assert!(!sink.send(vec![span("d")]), "nothing is taken after the end");
        assert_eq!(counters.dropped(DropReason::Shutdown), 4);
    }
}

#[tokio::test]
async fn the_wrong_protocol_for_a_port_is_a_failure_and_no_more() {
    for (speaks, is_spoken_to) in [(Protocol::OtlpHttp, Protocol::OtlpGrpc), (Protocol::OtlpGrpc, Protocol::OtlpHttp)] {
        let receiver = Receiver::start(speaks, &[]).await;
        let mut settings = receiver.settings();
        settings.protocol = is_spoken_to;
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.failed_exports() >= 2).await;
        assert!(!export.counters().is_reachable());
    }
}

/// Writes `begin`, and `again` for as long as anybody reads, on every connection.
async fn flood(begin: &'static [u8], again: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(begin).await?;
                // 64 MiB, if they are taken.
                for _ in 0..(64 << 20) / again.len() {
                    stream.write_all(again).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    port
}

#[tokio::test]
async fn a_flood_in_place_of_an_answer_is_cut_off() {
    let fields: (&[u8], &[u8]) = (b"HTTP/1.1 200 OK\r\n", b"x-some-field: a value that says nothing\r\n");
    // An empty SETTINGS frame, and header blocks that never end: CONTINUATION without END_HEADERS (RFC 9113, section 6.10).
    let settings_frame = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01";
    let continuation = b"\x00\x00\x08\x09\x00\x00\x00\x00\x01\x00\x01\x61\x04aaaa";
    let continued: (&[u8], &[u8]) = (settings_frame, continuation);
    let nonsense: (&[u8], &[u8]) = (b"\x16\x03\x01", b"nonsense\0");
    for (protocol, (begin, again)) in [
        (Protocol::OtlpHttp, fields),
        (Protocol::OtlpHttp, nonsense),
        (Protocol::OtlpGrpc, continued),
        (Protocol::OtlpGrpc, nonsense),
    ] {
        let mut settings = settings(protocol, flood(begin, again).await);
        // Far from over when it is cut off.
        settings.timeout = PATIENCE * 2;
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        until(export.counters(), |counters| counters.failed_exports() >= 2).await;
        assert_eq!(export.counters().sent(), 0, "{protocol:?}");
    }
}
