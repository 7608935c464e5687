//! What a message says of the trace that it belongs to, whatever the format.

use super::{SpanId, TraceId};

/// What a request says of the trace that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The trace and the span of the sender; `None` where it says only whether it is sampled (B3 can).
    pub parent: Option<Parent>,
    /// Whether the sender has its spans recorded; `None` where it leaves that open (B3 can).
    pub sampled: Option<bool>,
    /// Whether everybody is asked to record, whatever else holds (B3).
    pub debug: bool,
    /// The `tracestate`, valid and within its limits.
    pub state: Option<String>,
}

/// The span of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The sender's span in it.
    pub span: SpanId,
    /// Whether the trace's id is told to be random (the flag of W3C Trace Context Level 2).
    pub is_random: bool,
}

/// What is told of a trace in a request that goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The trace.
    pub trace: TraceId,
    /// The span that is the parent of the receiver's.
    pub span: SpanId,
    /// Whether its spans are recorded.
    pub sampled: bool,
    /// Whether the trace's id is random.
    pub is_random: bool,
    /// Whether everybody is asked to record.
    pub debug: bool,
}
