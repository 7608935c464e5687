//! Spans of exchanges that have ended: whether anybody wants them, what is made of them, and how they leave the worker.

mod attributes;
mod build;
mod calls;
mod exchange;
mod phases;
mod tries;

use std::sync::Arc;

use telemetry_export::Sink;
use telemetry_export::model::Span;

use super::RouteHandle;
use crate::error::Failure;
use crate::exchange::Exchange;
use crate::sanitize::Sanitizer;
use crate::snapshot::Snapshot;
use crate::telemetry::spans::SpanExport;
use crate::trace::Record;

use build::Build;

/// Spans are handed over when there are so many, or with the worker's sweep.
const FULL: usize = 256;

/// A worker's part of the export of spans. It never waits: what the export has no room for is dropped there, and counted.
#[derive(Default)]
pub struct WorkerSpans {
    export: Option<Arc<SpanExport>>,
    sink: Option<Sink<Span>>,
    sanitizer: Sanitizer,
    ready: Vec<Span>,
}

impl WorkerSpans {
    /// Of a worker that begins with this snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut spans = Self::default();
        spans.follow(snapshot);
        spans
    }

    /// Follows another configuration. What is there still goes where it was to go.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        self.flush();
        let is_same = match (&self.export, &snapshot.spans) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if !is_same {
            self.export.clone_from(&snapshot.spans);
            self.sink = self.export.as_ref().and_then(|export| export.sink());
        }
        self.sanitizer = snapshot.config.tracing.as_ref().map(|own| Sanitizer::new(&own.include)).unwrap_or_default();
    }

    /// Makes the spans of an exchange that has ended, if they are wanted.
    pub fn record(&mut self, exchange: &Exchange, route: Option<&RouteHandle>) {
        let Some((trace, record)) = exchange.trace.as_ref().and_then(|trace| Some((trace, trace.record.as_deref()?)))
        else {
            return;
        };
        if self.sink.is_none() || !(trace.sampled || is_wanted(record, exchange)) {
            return;
        }
        let build = Build::new(exchange, trace, record, route, &self.sanitizer);
        build.all(&mut self.ready);
        if self.ready.len() >= FULL {
            self.flush();
        }
    }

    /// Hands over what is there.
    pub fn flush(&mut self) {
        if let (Some(sink), false) = (&self.sink, self.ready.is_empty()) {
            sink.send(std::mem::take(&mut self.ready));
        }
    }
}

/// Whether the spans of an exchange that is not sampled are wanted for how it ended.
fn is_wanted(record: &Record, exchange: &Exchange) -> bool {
    (record.errors && has_failed(exchange)) || record.slower_than.is_some_and(|limit| exchange.measures.total >= limit)
}

/// Whether it failed for a reason that is not the client's: a response of 5xx, one that was cut, or none.
fn has_failed(exchange: &Exchange) -> bool {
    let failed = exchange.failure.is_some_and(|failure| failure != Failure::Cancelled);
    match exchange.response.as_ref().map(|response| response.status.as_u16()) {
        Some(500..) => true,
        Some(400..) => false,
        Some(_) | None => failed,
    }
}
