//! Compression, and fields with secrets.

use std::time::Duration;

use telemetry_export::{Collector, Compression, Header, Protocol};
use tokio::runtime::Handle;

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
        let log = Log::default();
        let subscriber = log.clone();
        let _guard = tracing::subscriber::set_default(subscriber);
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
        let lines = log.lines();
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

/// Every event and its fields at every level, as text.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<String>>);

impl Log {
    fn lines(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        attributes.record(&mut Lines(&self.0));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Lines(&self.0));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Lines(&self.0));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Lines<'a>(&'a std::sync::Mutex<String>);

impl tracing::field::Visit for Lines<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").expect("a string");
    }
}
