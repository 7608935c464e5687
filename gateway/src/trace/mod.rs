//! The place of an exchange in a distributed trace.

mod ids;

pub use ids::{SpanId, TraceId};

/// What an exchange knows of the trace that it belongs to.
#[derive(Debug)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// The exchange's own span in it, which is the parent of all that the gateway does for it.
    pub span: SpanId,
    /// Whether its spans are to be recorded by whoever takes part in it (the `sampled` flag of W3C Trace Context section
    /// 3.2.3.2.1).
    pub sampled: bool,
}
