//! Log records.

use super::value::heap_of;
use super::{KeyValue, SpanId, Text, TraceId, UnixNanos};

/// One record of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened.
    pub time: UnixNanos,
    /// What kind of event it tells of: those of one name have the same attributes. Empty for none.
    pub event_name: Text,
    /// How bad it is.
    pub severity: Severity,
    /// What it says; may be empty where the attributes say it all.
    pub body: Text,
    /// What it says, in fields.
    pub attributes: Vec<KeyValue>,
    /// How many attributes were left out.
    pub dropped_attributes: u32,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span that it belongs to.
    pub span_id: Option<SpanId>,
    /// The flags of W3C Trace Context, section 3.2.2.5, of that span.
    pub flags: u8,
}

impl LogRecord {
    /// The memory that it holds, in bytes, roughly: shared texts count nowhere.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.event_name.heap() + self.body.heap() + heap_of(&self.attributes)
    }
}

/// How bad something is, with OpenTelemetry's number for it (Logs Data Model, "Severity Fields").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For a close look at the code.
    Trace = 1,
    /// For a look at the operation.
    Debug = 5,
    /// As expected.
    #[default]
    Info = 9,
    /// Somebody should look at it.
    Warn = 13,
    /// Something did not work.
    Error = 17,
    /// Nothing works any more.
    Fatal = 21,
}

impl Severity {
    /// Its name, as logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}
