//! Things to export, and waiting for what becomes of them.

use std::time::Duration;

use telemetry_export::model::{
    Data, Interval, KeyValue, Kind, LogRecord, Metric, Number, NumberPoint, Resource, Scope, Severity, Span, Status,
};
use telemetry_export::{Collector, Counters, Export, QueueSettings, Settings, Source};
use tokio::runtime::Handle;

use crate::receiver::PATIENCE;

pub(crate) fn span(name: &str) -> Span {
    Span {
        trace_id: [1; 16],
        span_id: [2; 8],
        parent: None,
        parent_is_remote: false,
        flags: 1,
        trace_state: None,
        name: name.to_owned().into(),
        kind: Kind::Server,
        start: 1_700_000_000_000_000_000,
        end: 1_700_000_000_005_000_000,
        attributes: vec![KeyValue::new("http.response.status_code", 200)],
        dropped_attributes: 0,
        events: Vec::new(),
        dropped_events: 0,
        status: Status::Unset,
    }
}

pub(crate) fn record(body: &str) -> LogRecord {
    LogRecord {
        time: 1_700_000_000_000_000_000,
        event_name: "made".into(),
        severity: Severity::Info,
        body: body.to_owned().into(),
        attributes: Vec::new(),
        dropped_attributes: 0,
        trace_id: Some([1; 16]),
        span_id: Some([2; 8]),
        flags: 1,
    }
}

pub(crate) fn counter(value: i64) -> Metric {
    let point = NumberPoint {
        attributes: Vec::new(),
        interval: Interval { start: 1, time: 2 },
        value: Number::Int(value),
        exemplars: Vec::new(),
    };
    Metric { name: "requests".into(), description: "".into(), unit: "".into(), data: Data::Counter(vec![point]) }
}

pub(crate) fn source() -> Source {
    Source {
        resource: Resource { service_name: "gateway".into(), ..Resource::default() },
        scope: Scope { name: "proxy".into(), version: "1".into() },
    }
}

/// Batches of up to 10, which don't wait long.
pub(crate) fn quick() -> QueueSettings {
    QueueSettings { batch_items: 10, max_delay: Duration::from_millis(20), ..QueueSettings::default() }
}

pub(crate) fn export(settings: Settings, queue: QueueSettings) -> Export<Span> {
    Collector::new(settings).expect("a collector").spans(source(), queue, &Handle::current())
}

/// Waits until the counters say so.
pub(crate) async fn until(counters: &Counters, holds: impl Fn(&Counters) -> bool) {
    let wait = async {
        while !holds(counters) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not in time: {counters:?}");
}
