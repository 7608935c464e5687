//! Spans.

use std::sync::Arc;

use super::value::heap_of;
use super::{KeyValue, SpanId, Text, TraceId, UnixNanos};

/// A piece of work that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// The span that it is a part of; none for the first of a trace.
    pub parent: Option<SpanId>,
    /// Whether the parent is a span of another process (it came with the request).
    pub parent_is_remote: bool,
    /// The flags of W3C Trace Context, section 3.2.2.5: bit 0 is `sampled`.
    pub flags: u8,
    /// The `tracestate` that goes with it, as it is written in the field.
    pub trace_state: Option<Arc<str>>,
    /// What it is called, such as `GET /orders/{id}`: few values, nothing of a client's.
    pub name: Text,
    /// Its place in a call.
    pub kind: Kind,
    /// When it began.
    pub start: UnixNanos,
    /// When it ended.
    pub end: UnixNanos,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
    /// How many attributes were left out.
    pub dropped_attributes: u32,
    /// What happened in it.
    pub events: Vec<Event>,
    /// How many events were left out.
    pub dropped_events: u32,
    /// How it ended.
    pub status: Status,
}

impl Span {
    /// The memory that it holds, in bytes, roughly: shared texts count nowhere.
    pub fn size(&self) -> usize {
        let events = size_of::<Event>() * self.events.capacity()
            + self.events.iter().map(|event| event.name.heap() + heap_of(&event.attributes)).sum::<usize>();
        let status = if let Status::Error(message) = &self.status { message.heap() } else { 0 };
        size_of::<Self>() + self.name.heap() + heap_of(&self.attributes) + events + status
    }
}

/// Something that happened at a moment of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: UnixNanos,
    /// What.
    pub name: Text,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
}

/// A span's place in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Work within a process.
    #[default]
    Internal,
    /// An answer to a request of another process.
    Server,
    /// A request to another process that is waited for.
    Client,
    /// A message is given to a broker.
    Producer,
    /// A message is taken from a broker.
    Consumer,
}

/// How a span ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing went wrong that this process knows of.
    #[default]
    Unset,
    /// Somebody said that it went well, whatever it looks like.
    Ok,
    /// It failed, with what went wrong in words (which may be empty).
    Error(Text),
}
