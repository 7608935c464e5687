//! The place of an exchange in a distributed trace: how it is read from a request and told to others (W3C Trace Context, B3),
//! whether it is sampled, and what is kept of an exchange until that is decided. Pure: no I/O, time is passed in.

mod b3;
mod baggage;
mod context;
mod hex;
mod ids;
mod notes;
mod propagate;
mod rate;
mod record;
mod timing;
mod traceparent;
mod tracestate;

use std::sync::Arc;
use std::time::Instant;

pub use context::{Incoming, Outgoing, Parent};
pub use ids::{SpanId, TraceId};
pub use notes::{Attribute, Notes, PluginSpan, Value, told_name};
pub use propagate::{Formats, check_baggage};
pub use rate::Rate;
pub use record::{CallRecord, PhaseOutcome, PhaseRecord, Record, StoredRecord, TryOutcome, TryRecord, numbers};
pub use timing::server_timing;

use crate::message::FieldMap;
use crate::model::Sampling;
use crate::sensitive::Sensitive;

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
    /// The span of whoever sent the request.
    pub parent: Option<SpanId>,
    /// The `tracestate` that came with it. What systems in front write there may be personal data as well.
    pub state: Option<Sensitive<Arc<str>>>,
    /// What is kept until the end, when it is known whether anybody wants it.
    pub record: Option<Box<Record>>,
    origin: Origin,
}

/// What a request said of its trace, as far as it counts.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    /// How it is told.
    formats: Formats,
    /// Whether it came from a trusted network.
    is_trusted: bool,
    is_random: bool,
    debug: bool,
    /// Whether it is sampled, where the sender's word decides.
    asked: Option<bool>,
    /// What the trace draws where a share decides.
    draw: u64,
}

impl Trace {
    /// Of this trace and span, without a parent.
    pub fn new(id: TraceId, span: SpanId, sampled: bool) -> Self {
        let origin = Origin { is_random: true, draw: id.draw(), ..Origin::default() };
        Self { id, span, sampled, notes: None, parent: None, state: None, record: None, origin }
    }

    /// The place of a request that says this of its trace, or of a new one. Nothing is sampled yet: see [`Trace::settle`].
    ///
    /// The word of a trusted peer decides whether it is sampled. A stranger can ask for it within `strangers`, a rate; beyond
    /// that, and where he does not ask, a share decides. He chose the trace's id, so he must not be able to choose one that is
    /// in the share: it is drawn anew.
    pub fn of(incoming: Incoming, formats: Formats, is_trusted: bool, strangers: &mut Rate, now: Instant) -> Self {
        let Incoming { parent, sampled, debug, state } = incoming;
        let (id, is_random) =
            parent.map_or_else(|| (TraceId::random(), true), |parent| (parent.trace, parent.is_random));
        let asked = match (is_trusted, sampled) {
            (true, sampled) => sampled,
            (false, Some(true)) => strangers.admit(now).then_some(true),
            (false, _) => None,
        };
        let draw = if is_trusted || parent.is_none() { id.draw() } else { fastrand::u64(..) };
        Self {
            parent: parent.map(|parent| parent.span),
            state: state.map(|state| Sensitive::new(Arc::from(state))),
            origin: Origin { formats, is_random, is_trusted, debug: debug && is_trusted, asked, draw },
            ..Self::new(id, SpanId::random(), false)
        }
    }

    /// Decides whether it is sampled, and whether anything is kept until the end. `records`: there is somewhere to send it to.
    pub fn settle(&mut self, sampling: Sampling, records: bool) {
        self.sampled = self.origin.asked.unwrap_or_else(|| sampling.share.takes(self.origin.draw));
        if !(records && (self.sampled || sampling.errors || sampling.slower_than.is_some())) {
            self.record = None;
            return;
        }
        let record = self.record.get_or_insert_default();
        (record.errors, record.slower_than) = (sampling.errors, sampling.slower_than);
    }

    /// The `tracestate` that its spans are exported with: a trusted peer's. A stranger can write anything there.
    pub fn exported_state(&self) -> Option<Arc<str>> {
        self.state.as_ref().filter(|_| self.origin.is_trusted).map(|state| state.expose().clone())
    }

    /// What is told to whoever works for this span.
    pub const fn outgoing(&self, span: SpanId) -> Outgoing {
        let Origin { is_random, debug, .. } = self.origin;
        Outgoing { trace: self.id, span, sampled: self.sampled, is_random, debug }
    }

    /// The flags of W3C Trace Context that its spans are exported with.
    pub const fn flags(&self) -> u8 {
        (self.sampled as u8) | ((self.origin.is_random as u8) << 1)
    }

    /// What is kept of it, where something is.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.record.as_deref_mut()
    }

    /// Makes the fields of a request tell of it, with this span as the sender's, whatever they said.
    pub fn write(&self, span: SpanId, fields: &mut FieldMap) {
        self.origin.formats.write(&self.outgoing(span), fields);
        self.write_state(fields);
    }

    /// The same of the `tracestate` alone.
    pub fn write_state(&self, fields: &mut FieldMap) {
        self.origin.formats.write_state(self.state.as_ref().map(|state| &**state.expose()), fields);
    }
}

/// What a request to an upstream is told by, once for each try of it.
#[derive(Clone, Copy, Debug)]
pub struct Onward {
    formats: Formats,
    /// Of the exchange's span.
    outgoing: Outgoing,
    /// Tries before the first of this request.
    before: u32,
}

impl Onward {
    /// Of this trace; there were so many tries before.
    pub const fn new(trace: &Trace, before: u32) -> Self {
        Self { formats: trace.origin.formats, outgoing: trace.outgoing(trace.span), before }
    }

    /// Makes the fields tell of this try.
    pub fn write(&self, attempt: u32, fields: &mut FieldMap) {
        let span = self.outgoing.span.below(numbers::attempt(self.before.saturating_add(attempt)));
        self.formats.write(&Outgoing { span, ..self.outgoing }, fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;

    fn incoming(sampled: Option<bool>) -> Incoming {
        let (trace, span) = (TraceId::from_bytes([0xff; 16]).unwrap(), SpanId::from_bytes([2; 8]).unwrap());
        Incoming { parent: Some(Parent { trace, span, is_random: true }), sampled, ..Incoming::default() }
    }

    fn sampling(millionths: u32) -> Sampling {
        Sampling { share: Share::millionths(millionths), errors: false, slower_than: None }
    }

    fn sampled(incoming: Incoming, is_trusted: bool, rate: &mut Rate, share: u32) -> bool {
        let mut trace = Trace::of(incoming, Formats::default(), is_trusted, rate, Instant::now());
        trace.settle(sampling(share), true);
        trace.sampled
    }

    #[test]
    fn the_word_of_a_trusted_parent_decides() {
        let rate = &mut Rate::share(0, 1);
        assert!(sampled(incoming(Some(true)), true, rate, 0));
        assert!(!sampled(incoming(Some(false)), true, rate, 1_000_000));
        // Where it says nothing, the trace's own draw decides, here and everywhere else.
        assert!(sampled(incoming(None), true, rate, 1));
        assert!(sampled(Incoming { sampled: Some(true), ..Incoming::default() }, true, rate, 0));
    }

    #[test]
    fn strangers_are_sampled_by_their_word_within_the_rate_and_by_the_share_beyond() {
        let rate = &mut Rate::share(2, 1);
        let asked = |rate: &mut Rate| (0..20).filter(|_| sampled(incoming(Some(true)), false, rate, 0)).count();
        assert!((2..=3).contains(&asked(rate)));
        assert!(sampled(incoming(Some(false)), false, rate, 1_000_000), "nobody hides from the share");
        // The id that would win every draw wins none but by chance.
        let by_chance = (0..1_000).filter(|_| sampled(incoming(None), false, rate, 10_000)).count();
        assert!(by_chance < 60, "{by_chance} of 1000 at 1 %");
    }

    #[test]
    fn debug_is_a_trusted_peer_s_word() {
        let debug = Incoming { debug: true, ..incoming(Some(true)) };
        let rate = &mut Rate::share(5, 1);
        for is_trusted in [true, false] {
            let trace = Trace::of(debug.clone(), Formats::default(), is_trusted, rate, Instant::now());
            assert_eq!(trace.outgoing(trace.span).debug, is_trusted);
        }
    }

    #[test]
    fn something_is_kept_where_it_may_be_wanted() {
        let mut trace = Trace::new(TraceId::random(), SpanId::random(), false);
        trace.settle(sampling(0), true);
        assert!(trace.record.is_none());
        trace.settle(Sampling { errors: true, ..sampling(0) }, true);
        assert!(trace.record.is_some() && !trace.sampled);
        trace.settle(sampling(1_000_000), false);
        assert!(trace.record.is_none() && trace.sampled, "nowhere to send it, but others record it");
    }

    #[test]
    fn each_try_is_told_a_span_of_its_own() {
        let formats = Formats::new(&[crate::model::TraceFormat::W3c]);
        let trace = Trace::of(Incoming::default(), formats, false, &mut Rate::share(0, 1), Instant::now());
        let mut told = Vec::new();
        for (before, attempt) in [(0, 0), (0, 1), (2, 0)] {
            let mut fields = FieldMap::new();
            Onward::new(&trace, before).write(attempt, &mut fields);
            told.push(fields.text("traceparent").to_owned());
        }
        assert!(told[0] != told[1] && told[1] != told[2]);
        assert!(told[0].contains(&trace.span.below(numbers::attempt(0)).to_string()));
    }
}
