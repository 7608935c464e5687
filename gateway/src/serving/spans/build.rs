//! What the spans of one exchange have in common.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use telemetry_export::model::{KeyValue, Kind, Span, Status, Text, UnixNanos};

use super::super::RouteHandle;
use crate::exchange::Exchange;
use crate::sanitize::Sanitizer;
use crate::trace::{Record, SpanId, Trace, numbers};

/// The spans of one exchange, while they are made.
pub(super) struct Build<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) trace: &'a Trace,
    pub(super) record: &'a Record,
    pub(super) route: Option<&'a RouteHandle>,
    pub(super) sanitizer: &'a Sanitizer,
    clock: Clock,
}

/// Tells of moments when they were.
struct Clock {
    now: Instant,
    unix: UnixNanos,
}

impl Clock {
    fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), unix: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX) }
    }

    fn unix(&self, moment: Instant) -> UnixNanos {
        let ago = self.now.saturating_duration_since(moment);
        self.unix.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A span of its own, before what is special to it.
pub(super) struct Piece {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: Text,
    pub(super) kind: Kind,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl<'a> Build<'a> {
    pub(super) fn new(
        exchange: &'a Exchange,
        trace: &'a Trace,
        record: &'a Record,
        route: Option<&'a RouteHandle>,
        sanitizer: &'a Sanitizer,
    ) -> Self {
        Self { exchange, trace, record, route, sanitizer, clock: Clock::now() }
    }

    /// All of them, the exchange's own first.
    pub(super) fn all(&self, into: &mut Vec<Span>) {
        into.push(self.exchange());
        self.phases(into);
        self.tries(into);
        self.calls(into);
        self.stored(into);
    }

    /// When the exchange ended.
    pub(super) fn end(&self) -> Instant {
        self.exchange.started + self.exchange.measures.total
    }

    /// A moment as exports have it.
    pub(super) fn unix(&self, moment: Instant) -> UnixNanos {
        self.clock.unix(moment)
    }

    /// The span of a plugin's phase.
    pub(super) fn phase_span(&self, by: usize, phase: crate::phase::Phase) -> SpanId {
        self.trace.span.below(numbers::phase(by, phase))
    }

    /// Name and version of the plugin at this place of the chain.
    pub(super) fn plugin(&self, by: usize) -> Option<(Text, Text)> {
        let (name, version) = self.route?.chain.plugin(by)?;
        Some((name.clone().into(), version.to_owned().into()))
    }

    /// A span below the exchange's.
    pub(super) fn span(&self, piece: Piece, attributes: Vec<KeyValue>, status: Status) -> Span {
        let Piece { id, parent, name, kind, began, ended } = piece;
        Span {
            trace_id: self.trace.id.bytes(),
            span_id: id.bytes(),
            parent: Some(parent.bytes()),
            parent_is_remote: false,
            flags: self.trace.flags(),
            trace_state: self.trace.exported_state(),
            name,
            kind,
            start: self.unix(began),
            end: self.unix(ended.max(began)),
            attributes,
            dropped_attributes: 0,
            events: Vec::new(),
            dropped_events: 0,
            status,
        }
    }
}
