//! The place of an exchange in a distributed trace.

mod ids;
mod notes;

pub use ids::{SpanId, TraceId};
pub use notes::{Attribute, Notes, PluginSpan, Value, told_name};

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
    /// What plugins add to it; none where nothing of this exchange is recorded.
    pub notes: Option<Box<Notes>>,
}
