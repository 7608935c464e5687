//! What is exported: spans, log records, metrics and the resource that they come from, as OpenTelemetry's data model has
//! them (<https://opentelemetry.io/docs/specs/otel/>), in types that are cheap to make on a worker. Nothing here knows a
//! format or a protocol.

mod log;
mod metric;
mod resource;
mod span;
mod text;
mod value;

pub use log::{LogRecord, Severity};
pub use metric::{
    Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Interval, Metric, Number, NumberPoint,
};
pub use resource::{Resource, Scope};
pub use span::{Event, Kind, Span, Status};
pub use text::Text;
pub use value::{KeyValue, Value};

/// The 16 bytes that all spans of a trace share. All zero is invalid (W3C Trace Context, section 3.2.2.3).
pub type TraceId = [u8; 16];

/// The 8 bytes of one span. All zero is invalid (W3C Trace Context, section 3.2.2.4).
pub type SpanId = [u8; 8];

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
pub type UnixNanos = u64;
