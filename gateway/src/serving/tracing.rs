//! How the exchanges of a worker take part in traces.

use std::cell::RefCell;
use std::time::Instant;

use crate::message::FieldMap;
use crate::model::{Sampling, Tracing};
use crate::trace::{Formats, Rate, Trace, check_baggage};

/// What a configuration says of traces, with what a worker adds to it.
pub struct WorkerTracing {
    formats: Formats,
    keeps_baggage: bool,
    sampling: Sampling,
    records: bool,
    /// This worker's share of the requests that strangers have recorded.
    strangers: RefCell<Rate>,
    /// Whether responses tell clients of the trace.
    pub server_timing: bool,
}

impl WorkerTracing {
    /// Of one of so many workers.
    pub fn new(of: &Tracing, workers: usize) -> Self {
        Self {
            formats: Formats::new(&of.propagate),
            keeps_baggage: of.keeps_baggage,
            sampling: of.sample,
            records: of.export.is_some(),
            strangers: RefCell::new(Rate::share(of.untrusted_rate, workers)),
            server_timing: of.server_timing,
        }
    }

    /// The place of a request with these fields in its trace, or in a new one. What they say of it stays as it came, because
    /// plugins may read it; upstreams are told anew.
    pub fn begin(&self, fields: &mut FieldMap, is_trusted: bool, now: Instant) -> Trace {
        check_baggage(fields, is_trusted || self.keeps_baggage);
        let incoming = self.formats.read(fields);
        let mut trace = Trace::of(incoming, self.formats, is_trusted, &mut self.strangers.borrow_mut(), now);
        trace.settle(self.sampling, self.records);
        trace
    }

    /// The same once the route is known, with what that says of sampling. Nothing is left where that takes no part in traces.
    pub fn settle(&self, trace: &mut Option<Trace>, sampling: Option<Sampling>, has_plugins: bool) {
        match (sampling, trace.as_mut()) {
            (Some(sampling), Some(trace)) => {
                trace.settle(sampling, self.records);
                if trace.record.is_some() && has_plugins {
                    trace.notes.get_or_insert_default();
                }
            }
            _ => *trace = None,
        }
    }
}
