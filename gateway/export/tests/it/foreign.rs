//! Receivers that are not ours: OpenTelemetry's own packages for Python, and a collector that runs elsewhere in production
//! (Rotel, from PyPI). `cargo xtask setup` brings both.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;
use telemetry_export::model::{
    Data, Event, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Interval, KeyValue, Kind, Metric,
    Span, Status, Text,
};
use telemetry_export::{Collector, Compression, Protocol, Settings};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::ChildStdout;
use tokio::runtime::Handle;

use crate::made::{counter, export, quick, record, source, span, until};
use crate::receiver::{Message, PATIENCE, Receiver, settings};

/// The Python that `cargo xtask test` names, or the one that `cargo xtask setup` made.
fn python() -> PathBuf {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../python/bin/python3");
    std::env::var_os("GATEWAY_PYTHON").map_or(made, PathBuf::from)
}

/// `tests/otlp_receiver.py`, running.
struct Script {
    _process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    grpc: u16,
    http: u16,
}

impl Script {
    async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/otlp_receiver.py");
        let mut process = tokio::process::Command::new(python())
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python with opentelemetry-proto; `cargo xtask setup` brings it");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut script = Self { _process: process, lines, grpc: 0, http: 0 };
        let ports = script.line().await;
        let port = |name: &str| ports[name].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        (script.grpc, script.http) = (port("grpc"), port("http"));
        script
    }

    async fn line(&mut self) -> Json {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        serde_json::from_str(&line.expect("its output").expect("a line")).expect("JSON")
    }

    fn port(&self, protocol: Protocol) -> u16 {
        if protocol == Protocol::OtlpGrpc { self.grpc } else { self.http }
    }
}

/// A span with everything.
fn full() -> Span {
    let mut span = span("GET /orders/{id}");
    span.parent = Some([3; 8]);
    span.parent_is_remote = true;
    span.trace_state = Some("a=1,b=2".into());
    span.attributes.push(KeyValue::new("url.path", "/ordre/æ\"\\\u{1}"));
    span.attributes.push(KeyValue::new("list", vec![Text::from("a"), Text::from("b")]));
    span.events.push(Event { time: 7, name: "dns".into(), attributes: vec![KeyValue::new("ms", 1.5)] });
    span.status = Status::Error("no connection".into());
    span
}

#[tokio::test]
async fn the_official_packages_for_python_read_spans_the_same_over_all_protocols() {
    let mut script = Script::start().await;
    for (protocol, name) in [(Protocol::OtlpGrpc, "grpc"), (Protocol::OtlpHttp, "http"), (Protocol::Zipkin, "zipkin")] {
        for compression in [Compression::None, Compression::Gzip] {
            let mut settings = settings(protocol, script.port(protocol));
            settings.compression = compression;
            let export = export(settings, quick());
            let counters = export.counters().clone();
            export.sink().send(vec![full()]);
            let line = script.line().await;
            export.finish(PATIENCE).await;
            assert_eq!((counters.sent(), counters.failed_exports()), (1, 0), "its answer: {name} {compression:?}");
            assert_eq!((&line["signal"], &line["protocol"]), (&"span".into(), &name.into()));
            assert_eq!((&line["name"], &line["kind"]), (&"GET /orders/{id}".into(), &"SERVER".into()));
            let text = Json::from("/ordre/æ\"\\\u{1}");
            if protocol == Protocol::Zipkin {
                assert_eq!((&line["tags"]["url.path"], &line["tags"]["error"]), (&text, &"no connection".into()));
                assert_eq!(line["parentId"], "0303030303030303");
            } else {
                assert_eq!(line["attributes"]["url.path"], text);
                assert_eq!(line["attributes"]["list"], serde_json::json!(["a", "b"]));
                assert_eq!((&line["trace_state"], &line["flags"]), (&"a=1,b=2".into(), &0x301.into()));
                assert_eq!((&line["status"]["code"], &line["events"][0]["name"]), (&"ERROR".into(), &"dns".into()));
                assert_eq!(line["resource"]["service.name"], "gateway");
                assert_eq!(line["trace_id"], "01010101010101010101010101010101");
            }
        }
    }
}

fn histograms() -> Vec<Metric> {
    let interval = Interval { start: 1, time: 2 };
    let exemplar = Exemplar { time: 2, value: 0.25, trace_id: [1; 16], span_id: [2; 8], attributes: Vec::new() };
    let plain = HistogramPoint {
        attributes: vec![KeyValue::new("route", "a")],
        interval,
        count: 3,
        sum: 1.5,
        bounds: [0.1, 1.0].into(),
        buckets: vec![1, 2, 0],
        exemplars: vec![exemplar.clone()],
    };
    let native = ExponentialPoint {
        attributes: Vec::new(),
        interval,
        count: 6,
        sum: 9.0,
        scale: 3,
        zero_count: 1,
        zero_threshold: 1e-9,
        positive: ExponentialBuckets { offset: -4, counts: vec![2, 0, 3] },
        negative: ExponentialBuckets::default(),
        exemplars: vec![exemplar],
    };
    let metric =
        |name: &'static str, data| Metric { name: name.into(), description: "".into(), unit: "s".into(), data };
    vec![metric("plain", Data::Histogram(vec![plain])), metric("native", Data::ExponentialHistogram(vec![native]))]
}

#[tokio::test]
async fn the_official_packages_for_python_read_logs_and_metrics() {
    let mut script = Script::start().await;
    for protocol in [Protocol::OtlpGrpc, Protocol::OtlpHttp] {
        let collector = Collector::new(settings(protocol, script.port(protocol))).expect("a collector");
        let logs = collector.logs(source(), quick(), &Handle::current()).expect("logs");
        logs.sink().send(vec![record("GET 200")]);
        let line = script.line().await;
        assert_eq!((&line["body"], &line["severity"]), (&"GET 200".into(), &"INFO".into()));
        assert_eq!(line["span_id"], "0202020202020202");

        let interval = Duration::from_secs(3600);
        let push = collector.metrics(source(), interval, histograms, &Handle::current()).expect("metrics");
        push.finish(PATIENCE).await;
        let (plain, native) = (script.line().await, script.line().await);
        assert_eq!((&plain["kind"], &plain["temporality"]), (&"histogram".into(), &"CUMULATIVE".into()));
        assert_eq!(plain["buckets"], serde_json::json!([1, 2, 0]));
        assert_eq!(plain["exemplars"][0]["trace_id"], "01010101010101010101010101010101");
        assert_eq!((&native["kind"], &native["scale"]), (&"exponential_histogram".into(), &3.into()));
        assert_eq!(native["positive"], serde_json::json!({"offset": -4, "counts": [2, 0, 3]}));
    }
}

/// Rotel, which passes on what it gets to a receiver of ours.
struct Rotel {
    process: Child,
    grpc: u16,
    http: u16,
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Rotel {
    async fn start(passes_on_to: u16) -> Self {
        let find = "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
        let found = Command::new(python()).args(["-c", find]).output().expect("Python; `cargo xtask setup` brings it");
        let program = String::from_utf8(found.stdout).expect("a path");
        // It takes no port 0, so free ones are looked for. Nothing waits for it: exports are tried until it is there.
        let listeners = [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
        let [grpc, http] = listeners.map(|listener| listener.and_then(|it| it.local_addr()).expect("a port").port());
        let process = Command::new(program.trim())
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--disable-batching"])
            .args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{passes_on_to}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Rotel; `cargo xtask setup` brings it");
        Self { process, grpc, http }
    }

    fn settings(&self, protocol: Protocol) -> Settings {
        settings(protocol, if protocol == Protocol::OtlpGrpc { self.grpc } else { self.http })
    }
}

#[tokio::test]
async fn a_real_collector_takes_all_signals_and_passes_them_on() {
    let receiver = Receiver::start(Protocol::OtlpHttp, &[]).await;
    let rotel = Rotel::start(receiver.port).await;
    let mut passed_on = 0;
    for protocol in [Protocol::OtlpGrpc, Protocol::OtlpHttp] {
        for compression in [Compression::None, Compression::Gzip] {
            let mut settings = rotel.settings(protocol);
            settings.compression = compression;
            let collector = Collector::new(settings).expect("a collector");
            let spans = collector.spans(source(), quick(), &Handle::current());
            spans.sink().send(vec![full(), Span { kind: Kind::Client, ..full() }]);
            until(spans.counters(), |counters| counters.sent() == 2).await;
            let logs = collector.logs(source(), quick(), &Handle::current()).expect("logs");
            logs.sink().send(vec![record("GET 200")]);
            until(logs.counters(), |counters| counters.sent() == 1).await;
            let hour = Duration::from_secs(3600);
            let read = || histograms().into_iter().chain([counter(7)]).collect();
            let push = collector.metrics(source(), hour, read, &Handle::current()).expect("metrics");
            let pushed = push.counters().clone();
            push.finish(PATIENCE).await;
            assert_eq!((pushed.sent(), pushed.dropped_in_all()), (3, 0), "{protocol:?} {compression:?}");
            passed_on += 3;
            receiver.requests(passed_on).await;
        }
    }
    let received = receiver.requests(passed_on).await;
    let spans = received.iter().filter(|received| matches!(received.message, Message::Traces(_)));
    for received in spans {
        assert_eq!(received.message.spans(), ["GET /orders/{id}", "GET /orders/{id}"]);
        let Message::Traces(request) = &received.message else { panic!("no traces") };
        let first = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((first.trace_state.as_str(), first.flags), ("a=1,b=2", 0x301));
    }
}
