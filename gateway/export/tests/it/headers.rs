//! Compression, and fields with secrets.

use std::time::Duration;

use telemetry_export::{Collector, Compression, Header, Protocol};
use tokio::runtime::Handle;

use crate::log::Log;
use crate::made::{export, quick, record, source, span};
use crate::receiver::{Receiver, Reply};

#[tokio::test]
async fn gzip_is_sent_where_it_is_wanted() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin] {
        let receiver = Receiver::start(protocol, &[Reply::Busy(None)]).await;
        let mut settings = receiver.settings();
        settings.compression = Compression::Gzip;
        let export = export(settings, quick());
        export.sink().send((0..10).map(|_| span("the same again")).collect());
        // Once for a refusal, once more: both whole.
        let requests = receiver.requests(2).await;
        let encoding = if protocol == Protocol::OtlpGrpc { "grpc-encoding" } else { "content-encoding" };
        for request in requests {
            assert_eq!(request.headers[encoding], "gzip", "{protocol:?}");
            if protocol != Protocol::Zipkin {
                assert_eq!(request.message.spans().len(), 10);
            }
        }
    }
}

#[tokio::test]
async fn fields_go_with_every_request_and_their_values_nowhere_else() {
    for protocol in [Protocol::OtlpHttp, Protocol::OtlpGrpc, Protocol::Zipkin] {
        // The refusal repeats the secret, which must not get into the log.
        let receiver = Receiver::start(protocol, &[Reply::Refuse]).await;
        let log = Log::shared();
        let mut settings = receiver.settings();
        settings.headers.push(Header::new("Authorization", b"Bearer hemmelig-4711").expect("a header"));
        settings.headers.push(Header::new("x-scope-orgid", b"hemmelig-leietaker").expect("a header"));
        assert!(!format!("{settings:?}").contains("hemmelig"));
        let export = export(settings, quick());
        assert!(!format!("{export:?}").contains("hemmelig"));
        export.sink().send(vec![span("a")]);
        let first = receiver.requests(1).await.remove(0);
        assert_eq!(first.headers["authorization"], "Bearer hemmelig-4711");
        assert_eq!(first.headers["x-scope-orgid"], "hemmelig-leietaker");
        let counters = export.counters().clone();
        export.finish(Duration::from_secs(10)).await;
        assert_eq!((counters.sent(), counters.failed_exports()), (0, 1), "{protocol:?}");
        let lines = log.text();
        assert!(lines.contains(&format!("endpoint=http://127.0.0.1:{} ", receiver.port)), "{lines}");
        assert!(lines.contains("can't be exported to") && !lines.contains("hemmelig"), "{lines}");
    }
}

#[tokio::test]
async fn log_records_and_spans_have_connections_and_counters_of_their_own() {
    let receiver = Receiver::start(Protocol::OtlpGrpc, &[]).await;
    let collector = Collector::new(receiver.settings()).expect("a collector");
    let spans = collector.spans(source(), quick(), &Handle::current());
    let logs = collector.logs(source(), quick(), &Handle::current()).expect("logs");
    spans.sink().send(vec![span("a")]);
    logs.sink().send(vec![record("b"), record("c")]);
    receiver.requests(2).await;
    let (spans_sent, logs_sent) = (spans.counters().clone(), logs.counters().clone());
    spans.finish(Duration::from_secs(10)).await;
    logs.finish(Duration::from_secs(10)).await;
    assert_eq!((spans_sent.sent(), logs_sent.sent()), (1, 2));
}
