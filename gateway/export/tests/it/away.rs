//! Collectors that are not there for a while.

use std::time::{Duration, Instant};

use telemetry_export::{Collector, DropReason, Protocol, QueueSettings};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::made::{counter, export, quick, source, span, until};
use crate::receiver::{Receiver, Reply, settings};

/// A port that nobody listens on.
async fn unused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test]
async fn memory_is_bounded_while_the_collector_is_away_and_all_that_was_kept_arrives_when_it_is_back() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin] {
        let port = unused_port().await;
        let queue = QueueSettings { max_items: 100, ..quick() };
        let export = export(settings(protocol, port), queue);
        let (sink, counters) = (export.sink(), export.counters().clone());
        let mut most = 0;
        for number in 0..1000 {
            sink.send(vec![span(&number.to_string())]);
            most = most.max(counters.queued());
        }
        assert_eq!((most, counters.queued(), counters.dropped(DropReason::QueueFull)), (100, 100, 900));
        until(&counters, |counters| counters.failed_exports() >= 3).await;
        assert!(!counters.is_reachable());
        assert_eq!(counters.queued(), 100, "what is being sent counts");

        let receiver = Receiver::bind(protocol, &[], port, None).await;
        until(&counters, |counters| counters.sent() == 100).await;
        assert_eq!((counters.queued(), counters.queued_bytes(), counters.dropped_in_all()), (0, 0, 900));
        if protocol != Protocol::Zipkin {
            // The newest were dropped, and what was kept came in its order.
            let requests = receiver.requests(10).await;
            let names: Vec<String> = requests.iter().flat_map(|request| request.message.spans()).collect();
            assert_eq!(names, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_collector_that_is_restarted_is_found_again() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc] {
        let first = Receiver::start(protocol, &[]).await;
        let port = first.port;
        let export = export(first.settings(), quick());
        let counters = export.counters().clone();
        export.sink().send(vec![span("a")]);
        until(&counters, |counters| counters.sent() == 1).await;
        drop(first);
        export.sink().send(vec![span("b")]);
        until(&counters, |counters| counters.failed_exports() >= 1).await;
        let second = Receiver::bind(protocol, &[], port, None).await;
        until(&counters, |counters| counters.sent() == 2).await;
        assert_eq!(second.requests(1).await[0].message.spans(), ["b"]);
        assert_eq!(counters.dropped_in_all(), 0);
    }
}

#[tokio::test]
async fn while_the_collector_is_away_it_is_asked_once_a_pause_however_much_waits() {
    let port = unused_port().await;
    let mut settings = settings(Protocol::OtlpHttp, port);
    settings.retry.initial = Duration::from_secs(600);
    settings.retry.max = Duration::from_secs(600);
    settings.retry.give_up_after = Duration::from_secs(3600);
    let export = export(settings, quick());
    let sink = export.sink();
    // Ten batches' worth.
    for _ in 0..10 {
        sink.send((0..10).map(|_| span("a")).collect());
    }
    until(export.counters(), |counters| counters.failed_exports() == 1).await;
    sink.send((0..10).map(|_| span("b")).collect());
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A pause is drawn between nothing and ten minutes: two tries in a row within 200 ms are next to impossible.
    assert!(export.counters().exports() <= 2, "{:?}", export.counters());
}

#[tokio::test]
async fn a_batch_is_given_up_after_a_time_and_the_next_gets_its_turn() {
    let port = unused_port().await;
    let mut settings = settings(Protocol::OtlpGrpc, port);
    settings.retry.give_up_after = Duration::from_millis(100);
    let export = export(settings, quick());
    let counters = export.counters().clone();
    export.sink().send((0..25).map(|_| span("a")).collect());
    until(&counters, |counters| counters.dropped(DropReason::RetriesExhausted) == 25).await;
    assert_eq!((counters.queued(), counters.sent()), (0, 0));
}

#[tokio::test]
async fn a_pause_that_is_longer_than_a_batch_is_tried_costs_that_batch_alone() {
    // Nothing is tried again, and the collector asks for more time than that.
    let busy = Reply::Busy(Some(Duration::from_secs(1)));
    let receiver = Receiver::start(Protocol::OtlpHttp, &[busy]).await;
    let mut settings = receiver.settings();
    settings.retry.give_up_after = Duration::from_millis(100);
    let export = export(settings, quick());
    let counters = export.counters().clone();
    export.sink().send((0..30).map(|_| span("a")).collect());
    until(&counters, |counters| counters.queued() == 0).await;
    assert_eq!((counters.dropped(DropReason::RetriesExhausted), counters.sent()), (10, 20));
}

#[tokio::test]
async fn the_end_gives_a_collector_that_is_away_one_more_chance_and_no_more() {
    let port = unused_port().await;
    let mut settings = settings(Protocol::OtlpHttp, port);
    settings.retry.initial = Duration::from_secs(600);
    settings.retry.max = Duration::from_secs(600);
    settings.retry.give_up_after = Duration::from_secs(3600);
    let export = export(settings, quick());
    let counters = export.counters().clone();
    export.sink().send((0..25).map(|_| span("a")).collect());
    until(&counters, |counters| counters.failed_exports() == 1).await;
    let receiver = Receiver::bind(Protocol::OtlpHttp, &[], port, None).await;
    let begun = Instant::now();
    export.finish(Duration::from_secs(10)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the pause was cut short");
    assert_eq!((counters.sent(), counters.dropped_in_all(), receiver.count()), (25, 0, 3));
}

#[tokio::test]
async fn what_is_dropped_with_its_handle_is_counted() {
    let port = unused_port().await;
    let export = export(settings(Protocol::OtlpHttp, port), quick());
    let counters = export.counters().clone();
    export.sink().send(vec![span("a"), span("b")]);
    drop(export);
    until(&counters, |counters| counters.queued() == 0).await;
    assert_eq!(counters.dropped(DropReason::Shutdown), 2);
}

#[tokio::test]
async fn metrics_that_could_not_be_sent_give_way_to_newer_ones() {
    let port = unused_port().await;
    let collector = Collector::new(settings(Protocol::OtlpHttp, port)).expect("a collector");
    let mut value = 0;
    let read = move || {
        value += 1;
        vec![counter(value)]
    };
    let interval = Duration::from_millis(30);
    let push = collector.metrics(source(), interval, read, &Handle::current()).expect("metrics");
    let counters = push.counters().clone();
    until(&counters, |counters| counters.dropped(DropReason::Superseded) >= 3).await;
    let receiver = Receiver::bind(Protocol::OtlpHttp, &[], port, None).await;
    until(&counters, |counters| counters.sent() >= 2).await;
    push.finish(Duration::from_secs(10)).await;
    assert_eq!(receiver.count() as u64, counters.sent());
}
