//! Log records.

use opentelemetry_proto::tonic::logs::v1 as proto;

use super::common::{attributes, text};
use crate::model::LogRecord;

pub(super) fn record(record: LogRecord) -> proto::LogRecord {
    proto::LogRecord {
        time_unix_nano: record.time,
        // Whoever makes a record sees it when it happens.
        observed_time_unix_nano: record.time,
        event_name: record.event_name.into_string(),
        severity_number: record.severity as i32,
        severity_text: record.severity.name().to_owned(),
        body: (!record.body.is_empty()).then(|| text(record.body)),
        attributes: attributes(record.attributes),
        dropped_attributes_count: record.dropped_attributes,
        flags: u32::from(record.flags),
        trace_id: record.trace_id.map(|id| id.to_vec()).unwrap_or_default(),
        span_id: record.span_id.map(|id| id.to_vec()).unwrap_or_default(),
    }
}
