//! What is exported: spans, log records, metrics and the resource that they come from, as OpenTelemetry's data model has
//! them (<https://opentelemetry.io/docs/specs/otel/>), in types that are cheap to make on a worker. Nothing here knows a
//! format or a protocol.

mod id;
mod log;
mod metric;
mod resource;
mod span;
mod text;
mod value;

pub use id::{SpanId, TraceId, UnixNanos};
pub use log::{LogRecord, Severity};
pub use metric::{
    Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Interval, Metric, Number, NumberPoint,
};
pub use resource::{Resource, Scope};
pub use span::{Event, Kind, Span, Status};
pub use text::Text;
pub use value::{KeyValue, Value};
