//! What is kept of an exchange until its end, when it is known whether its spans are wanted: numbers, in bounds. Spans are made
//! of it only then.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::SpanId;
use crate::error::ErrorKind;
use crate::phase::Phase;

/// Phases that are kept: a chain of ten plugins with all of them has sixty.
const MOST_PHASES: usize = 64;
/// Tries that are kept.
const MOST_TRIES: usize = 16;
/// Calls of plugins that are kept.
const MOST_CALLS: usize = 64;

/// What is kept of one exchange.
#[derive(Debug, Default)]
pub struct Record {
    /// It is wanted where the exchange fails.
    pub errors: bool,
    /// It is wanted where it takes so long.
    pub slower_than: Option<Duration>,
    phases: Vec<PhaseRecord>,
    tries: SmallVec<[TryRecord; 1]>,
    calls: Vec<CallRecord>,
    stored: Option<StoredRecord>,
    dropped: u32,
}

/// A phase of one plugin: one call of it, or all calls for the pieces of a body.
#[derive(Clone, Copy, Debug)]
pub struct PhaseRecord {
    /// The plugin's place in the chain.
    pub by: usize,
    /// The phase.
    pub phase: Phase,
    /// When the first call began.
    pub began: Instant,
    /// When the last one ended.
    pub ended: Instant,
    /// What the calls took together.
    pub busy: Duration,
    /// How many there were.
    pub calls: u32,
    /// Host calls that they made.
    pub host_calls: u32,
    /// What the last of them came to.
    pub outcome: PhaseOutcome,
}

/// What a phase call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseOutcome {
    /// The action that the plugin answered, by its name.
    Did(&'static str),
    /// It failed, for this reason.
    Failed(&'static str),
}

/// A try of the upstream.
#[derive(Clone, Copy, Debug)]
pub struct TryRecord {
    /// Where it went.
    pub endpoint: SocketAddr,
    /// When it began.
    pub began: Instant,
    /// After what time a connection of TCP was there, where one was made.
    pub tcp: Option<Duration>,
    /// After what time there was one that requests can be sent on.
    pub connected: Option<Duration>,
    /// Whether it had been there before.
    pub reused: bool,
    /// What it came to.
    pub outcome: TryOutcome,
    /// The status of the response.
    pub status: Option<u16>,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryOutcome {
    /// It was given up together with the exchange.
    Unfinished,
    /// The response's head came after that time.
    Answered(Duration),
    /// It failed for that reason, after that time.
    Failed(ErrorKind, Duration),
}

/// A call that a plugin made.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The plugin's place in the chain.
    pub by: usize,
    /// The phase that it was made in.
    pub phase: Phase,
    /// Its span.
    pub span: SpanId,
    /// The plugin's own span that it was made in, where there was one.
    pub parent: Option<SpanId>,
    /// The upstream that was called.
    pub upstream: Arc<str>,
    /// The method; `_OTHER` for one that HTTP does not define.
    pub method: &'static str,
    /// When it was made.
    pub began: Instant,
    /// When it was over.
    pub ended: Instant,
    /// The status, or why there is none.
    pub outcome: Result<u16, &'static str>,
}

/// An answer that came from the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredRecord {
    /// The place in the chain of the plugin that gave it.
    pub by: usize,
    /// When it was looked for.
    pub began: Instant,
    /// When it was there.
    pub ended: Instant,
}

impl Record {
    /// Notes a phase call. All calls of one phase of a plugin are one record.
    pub fn phase(&mut self, call: PhaseRecord) {
        // The pieces of a body come one after the other, through the same few plugins.
        let known = self.phases.iter_mut().rev().find(|known| known.by == call.by && known.phase == call.phase);
        if let Some(known) = known {
            known.ended = call.ended;
            known.busy += call.busy;
            known.calls = known.calls.saturating_add(call.calls);
            known.host_calls = known.host_calls.saturating_add(call.host_calls);
            // A failure is what counts, whatever comes behind it.
            if !matches!(known.outcome, PhaseOutcome::Failed(_)) {
                known.outcome = call.outcome;
            }
        } else if self.phases.len() < MOST_PHASES {
            self.phases.push(call);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Notes the tries of a request to the upstream, as far as they have come; those from `before` on take the place of what
    /// was noted of them.
    pub fn tries(&mut self, before: u32, tries: impl Iterator<Item = TryRecord>) {
        let before = usize::try_from(before).unwrap_or(usize::MAX);
        // The status is told by another.
        let status = self.tries.last().and_then(|last| last.status);
        let had = self.tries.len();
        self.tries.truncate(before);
        for record in tries {
            if self.tries.len() < MOST_TRIES {
                self.tries.push(record);
            }
        }
        if self.tries.len() == had
            && let Some(last) = self.tries.last_mut()
        {
            last.status = last.status.or(status);
        }
    }

    /// Notes the status of the response that the last try brought.
    pub fn answered(&mut self, status: u16) {
        if let Some(last) = self.tries.last_mut() {
            last.status = Some(status);
        }
    }

    /// The number of the next call, for the id of its span.
    pub fn next_call(&self) -> u64 {
        self.calls.len() as u64
    }

    /// Notes a call of a plugin.
    pub fn call(&mut self, call: CallRecord) {
        if self.calls.len() < MOST_CALLS {
            self.calls.push(call);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Notes that the answer came from the store.
    pub fn stored(&mut self, stored: StoredRecord) {
        self.stored = Some(stored);
    }

    /// The phases, in the order in which they began.
    pub fn phases(&self) -> &[PhaseRecord] {
        &self.phases
    }

    /// The tries, in their order.
    pub fn all_tries(&self) -> &[TryRecord] {
        &self.tries
    }

    /// The calls, in the order in which they ended.
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }

    /// The answer from the store, where there was one.
    pub const fn from_store(&self) -> Option<&StoredRecord> {
        self.stored.as_ref()
    }

    /// How many phases and calls there was no room for.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }
}

/// The numbers by which spans below an exchange's are known; see [`SpanId::below`].
pub mod numbers {
    use crate::phase::Phase;

    const TRY: u64 = 1 << 32;
    const PHASE: u64 = 2 << 32;
    const CALL: u64 = 3 << 32;
    /// An answer from the store.
    pub const STORED: u64 = 4 << 32;

    /// Of a try of the upstream, counted from 0 over the whole exchange.
    pub const fn attempt(number: u32) -> u64 {
        TRY | number as u64
    }

    /// Of a plugin's phase.
    pub fn phase(by: usize, phase: Phase) -> u64 {
        let place =
            Phase::OF_AN_EXCHANGE.iter().position(|known| *known == phase).unwrap_or(Phase::OF_AN_EXCHANGE.len());
        PHASE | ((by as u64) << 8 & 0xffff_ff00) | (place as u64 & 0xff)
    }

    /// Of a call of a plugin.
    pub const fn call(number: u64) -> u64 {
        CALL | (number & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(by: usize, outcome: PhaseOutcome) -> PhaseRecord {
        let now = Instant::now();
        PhaseRecord {
            by,
            phase: Phase::RequestBody,
            began: now,
            ended: now + Duration::from_millis(2),
            busy: Duration::from_millis(2),
            calls: 1,
            host_calls: 3,
            outcome,
        }
    }

    #[test]
    fn the_pieces_of_a_body_are_one_phase() {
        let mut record = Record::default();
        for outcome in [PhaseOutcome::Did("continue"), PhaseOutcome::Failed("trap"), PhaseOutcome::Did("continue")] {
            record.phase(phase(0, outcome));
            record.phase(phase(1, PhaseOutcome::Did("continue")));
        }
        let [first, second] = record.phases() else { panic!("{record:?}") };
        assert_eq!((first.calls, first.host_calls, first.outcome), (3, 9, PhaseOutcome::Failed("trap")));
        assert_eq!((second.busy, second.outcome), (Duration::from_millis(6), PhaseOutcome::Did("continue")));
        assert!(first.ended > first.began);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut record = Record::default();
        for by in 0..100 {
            record.phase(phase(by, PhaseOutcome::Did("continue")));
        }
        assert_eq!((record.phases().len(), record.dropped()), (64, 36));
        record.tries(0, (0..100).map(|port| attempt(port)));
        assert_eq!(record.all_tries().len(), 16);
    }

    fn attempt(port: u16) -> TryRecord {
        TryRecord {
            endpoint: ([127, 0, 0, 1], port).into(),
            began: Instant::now(),
            tcp: None,
            connected: None,
            reused: false,
            outcome: TryOutcome::Unfinished,
            status: None,
        }
    }

    #[test]
    fn tries_are_noted_as_they_come_and_again() {
        let mut record = Record::default();
        record.tries(0, [attempt(1)].into_iter());
        record.tries(0, [attempt(1), attempt(2)].into_iter());
        record.answered(503);
        record.tries(0, [attempt(1), attempt(2)].into_iter());
        assert_eq!(record.all_tries().last().and_then(|last| last.status), Some(503));
        // A plugin had the request repeated.
        record.tries(2, [attempt(3)].into_iter());
        let ports: Vec<_> =
            record.all_tries().iter().map(|attempt| (attempt.endpoint.port(), attempt.status)).collect();
        assert_eq!(ports, [(1, None), (2, Some(503)), (3, None)]);
    }

    #[test]
    fn no_two_spans_have_one_number() {
        let mut numbers = std::collections::HashSet::from([numbers::STORED]);
        for number in 0..64 {
            assert!(numbers.insert(numbers::attempt(number)) && numbers.insert(numbers::call(u64::from(number))));
            for phase in Phase::OF_AN_EXCHANGE {
                assert!(numbers.insert(numbers::phase(usize::try_from(number).unwrap(), phase)));
            }
        }
    }
}
