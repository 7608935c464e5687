//! Every signal over every protocol.

use std::time::Duration;

use telemetry_export::{Collector, InvalidSettings, Protocol};
use tokio::runtime::Handle;

use crate::made::{counter, export, quick, record, source, span};
use crate::receiver::{Message, Receiver, settings};

#[tokio::test]
async fn spans_arrive_over_http_and_grpc() {
    for (protocol, path) in [(Protocol::OtlpHttp, "/v1/traces"), (Protocol::OtlpGrpc, "TraceService")] {
        let receiver = Receiver::start(protocol, &[]).await;
        let export = export(receiver.settings(), quick());
        assert!(export.sink().send(vec![span("a"), span("b")]));
        let received = receiver.requests(1).await.remove(0);
        assert_eq!(received.path, path);
        assert_eq!(received.message.spans(), ["a", "b"]);
        let Message::Traces(request) = received.message else { panic!("no traces") };
        let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
        assert_eq!(resource.attributes[0].key, "service.name");
        let counters = export.counters().clone();
        export.finish(Duration::from_secs(10)).await;
        assert_eq!((counters.sent(), counters.dropped_in_all(), counters.exports()), (2, 0, 1), "{protocol:?}");
        assert_eq!((counters.queued(), counters.queued_bytes()), (0, 0));
    }
}

#[tokio::test]
async fn log_records_arrive_over_http_and_grpc() {
    for (protocol, path) in [(Protocol::OtlpHttp, "/v1/logs"), (Protocol::OtlpGrpc, "LogsService")] {
        let receiver = Receiver::start(protocol, &[]).await;
        let collector = Collector::new(receiver.settings()).expect("a collector");
        let export = collector.logs(source(), quick(), &Handle::current()).expect("logs");
        assert!(export.sink().send(vec![record("GET 200")]));
        let received = receiver.requests(1).await.remove(0);
        assert_eq!(received.path, path);
        let Message::Logs(request) = received.message else { panic!("no logs") };
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.trace_id.as_slice(), record.severity_text.as_str()), (&[1; 16][..], "INFO"));
        let counters = export.counters().clone();
        export.finish(Duration::from_secs(10)).await;
        assert_eq!(counters.sent(), 1);
    }
}

#[tokio::test]
async fn metrics_are_pushed_over_http_and_grpc_and_once_more_at_the_end() {
    for (protocol, path) in [(Protocol::OtlpHttp, "/v1/metrics"), (Protocol::OtlpGrpc, "MetricsService")] {
        let receiver = Receiver::start(protocol, &[]).await;
        let collector = Collector::new(receiver.settings()).expect("a collector");
        let mut value = 0;
        let read = move || {
            value += 1;
            vec![counter(value)]
        };
        let interval = Duration::from_millis(20);
        let push = collector.metrics(source(), interval, read, &Handle::current()).expect("metrics");
        let before = receiver.requests(2).await;
        assert!(before.iter().all(|received| received.path == path));
        let counters = push.counters().clone();
        push.finish(Duration::from_secs(10)).await;
        let values: Vec<i64> = receiver.requests(3).await.iter().map(|received| value_of(&received.message)).collect();
        let expected: Vec<i64> = (1..=values.len() as i64).collect();
        assert_eq!(values, expected, "each state once, in order");
        assert_eq!(counters.sent(), values.len() as u64);
    }
}

fn value_of(message: &Message) -> i64 {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    let Message::Metrics(request) = message else { panic!("no metrics") };
    let Some(Data::Sum(sum)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else { panic!("no sum") };
    let Some(Value::AsInt(value)) = sum.data_points[0].value else { panic!("no number") };
    value
}

#[tokio::test]
async fn a_base_path_is_kept() {
    let receiver = Receiver::start(Protocol::OtlpHttp, &[]).await;
    let mut settings = receiver.settings();
    settings.endpoint = format!("http://127.0.0.1:{}/otlp/eu/", receiver.port).parse().expect("an endpoint");
    let export = export(settings, quick());
    export.sink().send(vec![span("a")]);
    assert_eq!(receiver.requests(1).await[0].path, "/otlp/eu/v1/traces");
}

#[tokio::test]
async fn zipkin_gets_json_at_its_own_path_or_the_one_that_is_given() {
    for (given, path) in [("", "/api/v2/spans"), ("/", "/api/v2/spans"), ("/zipkin/spans", "/zipkin/spans")] {
        let receiver = Receiver::start(Protocol::Zipkin, &[]).await;
        let mut settings = receiver.settings();
        settings.endpoint = format!("http://127.0.0.1:{}{given}", receiver.port).parse().expect("an endpoint");
        let export = export(settings, quick());
        export.sink().send(vec![span("a")]);
        let received = receiver.requests(1).await.remove(0);
        assert_eq!(received.path, path);
        let Message::Zipkin(spans) = received.message else { panic!("no JSON") };
        assert_eq!((&spans[0]["name"], &spans[0]["kind"]), (&"a".into(), &"SERVER".into()));
        assert_eq!(spans[0]["localEndpoint"]["serviceName"], "gateway");
    }
}

#[tokio::test]
async fn what_a_protocol_can_not_do_is_said_at_once() {
    let zipkin = Collector::new(settings(Protocol::Zipkin, 9411)).expect("a collector");
    let refused = zipkin.logs(source(), quick(), &Handle::current()).map(drop);
    assert!(matches!(refused, Err(InvalidSettings::SpansOnly("log records"))));
    let refused = zipkin.metrics(source(), Duration::from_secs(1), Vec::new, &Handle::current()).map(drop);
    assert!(matches!(refused, Err(InvalidSettings::SpansOnly("metrics"))));
    for (protocol, endpoint, says) in [
        (Protocol::OtlpHttp, "http://127.0.0.1:4318/v1/traces", "ends with /v1/traces"),
        (Protocol::OtlpHttp, "http://127.0.0.1:4318/a/v1/logs/", "ends with /v1/logs"),
        (Protocol::OtlpGrpc, "http://127.0.0.1:4317/otlp", "gRPC has no use for"),
    ] {
        let mut settings = settings(protocol, 1);
        settings.endpoint = endpoint.parse().expect("an endpoint");
        let error = Collector::new(settings).map(drop).expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}
