//! The breaker as a state machine: gobreaker's states and generations. Pure; time is milliseconds passed in.
//!
//! A ticket names the generation in which its request was admitted. Each change of state, and each new counting window,
//! begins a generation; what is reported with a ticket of another one no longer counts. Only a probe whose answer closed
//! the breaker is remembered beyond that: when its body is cut, the breaker opens again.

use serde::{Deserialize, Serialize};

/// How long a probe that doesn't report holds its place against others. Probes don't expire by themselves, however long
/// the upstream takes: this only keeps one whose exchange was lost from closing the way for ever.
pub const PROBE_LEASE_MS: u64 = 300_000;
/// The same for a probe whose body is still on its way from the client, which may never send it. It counts as long as it is
/// remembered; only its place is free for another one.
pub const STREAMING_LEASE_MS: u64 = 500;
/// For each probe so many that stream may pass at a time. Those that stall cost the upstream next to nothing and say nothing
/// of it; were they let in one by one, a good one among them would hardly ever pass. The more of the places are taken, the
/// rarer a free one is given away, so that those who come at the right moment don't take them all.
const STREAMING_PLACES: u32 = 8;
/// But not more than this, where there are so many probes.
const MOST_STREAMING: u32 = 64;
/// Probes that are remembered at most.
const MOST_PROBES: usize = 128;
/// How long a probe waits for the end of its response's body. Then its head alone counts: a client that reads slowly must
/// not keep others out.
pub const SETTLE_MS: u64 = 1000;
/// A row of failures counts when nothing has succeeded for this long. With much traffic five failures in a row are soon met
/// by chance; there the ratio, over the last hundred results, is quicker anyway.
pub const ROW_MS: u64 = 1000;
/// Results that the ratio looks back on: when there are so many, they are halved, so that it forgets the past at the pace
/// of the traffic. As many again as `minimum_requests` where that is more.
const WINDOW: u32 = 100;
/// Workers read the clock one after the other, and it is adjusted now and then: only what lies further ahead than this
/// is taken for a clock that was set back.
const SLACK_MS: u64 = 1000;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Fewer finished requests in a window never open it by their ratio.
    pub minimum_requests: u32,
    /// The share of failures from which on it opens.
    pub failure_ratio: f64,
    /// So many failures without a success between them, over at least [`ROW_MS`], open it too; 0: they don't.
    pub consecutive_failures: u32,
    /// Length of the counting window while closed; 0: counts are kept until the state changes.
    pub interval_ms: u64,
    /// How long it stays open.
    pub open_for_ms: u64,
    /// Probes while half-open; as many successes close it.
    pub half_open_requests: u32,
}

/// The name of a state, for metrics, the log and an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// Requests pass and are counted.
    Closed,
    /// Nothing passes.
    Open,
    /// A few probes pass.
    HalfOpen,
}

impl StateName {
    /// As in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Closed(Counts),
    Open { until: u64 },
    HalfOpen { succeeded: u32, probes: Vec<Probe>, settled: Vec<u64> },
}

/// What a closed breaker has seen. What is zero is not written: it is read with every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    since: u64,
    successes: u32,
    #[serde(skip_serializing_if = "is_zero")]
    failures: u32,
    /// Failures since the last success, and when the first of them was.
    #[serde(skip_serializing_if = "is_zero")]
    row: u32,
    #[serde(skip_serializing_if = "is_zero")]
    row_since: u64,
    /// The row before the last success, in case that one breaks off.
    #[serde(skip_serializing_if = "is_zero")]
    row_before: u32,
    /// Probes that closed it by their heads: their bodies are still to come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probation: Vec<u64>,
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// A probe under way. After `until` another one may have its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    id: u64,
    until: u64,
    /// All of the request was here when it was admitted.
    whole: bool,
    /// When the head of a good response came.
    answered: Option<u64>,
}

impl Probe {
    fn holds_its_place(&self, now: u64) -> bool {
        now < self.until && self.until <= now.saturating_add(PROBE_LEASE_MS + SLACK_MS)
    }
}

/// The breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    generation: u64,
    state: State,
}

/// What an admitted request has to show when it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    generation: u64,
    probe: Option<u64>,
}

impl Ticket {
    /// Whether its request is a probe.
    pub fn is_probe(self) -> bool {
        self.probe.is_some()
    }
}

/// How much of a request is here when it wants to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it: how long a probe takes is the upstream's doing.
    Whole,
    /// Not yet, but it is small enough to wait for before a probe is made of it.
    Small,
    /// It streams.
    Streaming,
}

/// The answer to a request that wants to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and has to report.
    Pass(Ticket),
    /// It may ask again when its body is here.
    AfterBody,
    /// It may not; a later one might after this time.
    Reject {
        /// Milliseconds from now.
        retry_after_ms: u64,
    },
}

/// How an admitted request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered. Of a probe: to the end.
    Success,
    /// The head of a probe's answer is good.
    Answered,
    /// It failed.
    Failure,
    /// It was reported as a success when its head came, and then its body broke off.
    BrokeOff,
    /// Nothing is known of the upstream: the client left, or another plugin answered.
    Unknown,
}

fn places_for_streaming(left: u32) -> u32 {
    left.saturating_mul(STREAMING_PLACES).min(MOST_STREAMING).max(left)
}

impl Breaker {
    /// A closed breaker. Its generation comes from the clock, so that tickets of a forgotten one don't fit.
    pub fn new(now: u64) -> Self {
        Self { generation: now, state: State::Closed(Counts { since: now, ..Counts::default() }) }
    }

    /// The state it is in.
    pub fn state(&self) -> StateName {
        match self.state {
            State::Closed(_) => StateName::Closed,
            State::Open { .. } => StateName::Open,
            State::HalfOpen { .. } => StateName::HalfOpen,
        }
    }

    /// A request wants to pass. `id` tells its probe from others, and is a random number; it is drawn
    /// only where a probe may be made.
    pub fn admit(&mut self, policy: &Policy, now: u64, body: Body, id: impl FnOnce() -> u64) -> Admission {
        self.catch_up(policy, now);
        let probe = match &mut self.state {
            State::Closed(_) => None,
            State::Open { until } => return Admission::Reject { retry_after_ms: until.saturating_sub(now).max(1) },
            State::HalfOpen { succeeded, probes, .. } => {
                // Those that stream have places of their own: clients that stall never hold one of the others.
                let whole = body != Body::Streaming;
                let taken = probes.iter().filter(|probe| probe.whole == whole && probe.holds_its_place(now)).count();
                let left = policy.half_open_requests.saturating_sub(*succeeded);
                let places = if whole { left } else { places_for_streaming(left) };
                let taken = u32::try_from(taken).unwrap_or(u32::MAX);
                let id = id();
                if taken >= places || (!whole && id % u64::from(places) < u64::from(taken)) {
                    // Nobody knows when the probes report. If they fail, it is open for this long.
                    return Admission::Reject { retry_after_ms: policy.open_for_ms.max(1) };
                }
                if body == Body::Small {
                    return Admission::AfterBody;
                }
                // One that had the whole request and never reported was lost. Of a stalled one the answer may come yet.
                probes.retain(|probe| !probe.whole || probe.holds_its_place(now));
                if probes.len() >= MOST_PROBES {
                    // One that has a place of those that are whole is forgotten last.
                    let oldest = probes.iter().position(|probe| !probe.whole).unwrap_or(0);
                    probes.remove(oldest);
                }
                let lease = if whole { PROBE_LEASE_MS } else { STREAMING_LEASE_MS };
                probes.push(Probe { id, until: now.saturating_add(lease), whole, answered: None });
                Some(id)
            }
        };
        Admission::Pass(Ticket { generation: self.generation, probe })
    }

    /// An admitted request tells how it went.
    pub fn report(&mut self, policy: &Policy, now: u64, ticket: Ticket, outcome: Outcome) {
        self.catch_up(policy, now);
        let settled = match &self.state {
            State::Closed(Counts { probation: settled, .. }) | State::HalfOpen { settled, .. } => settled,
            State::Open { .. } => return, // Nobody holds a ticket of this generation: opening began it.
        };
        if ticket.probe.is_some_and(|id| settled.contains(&id)) {
            // Its head has been counted.
            if matches!(outcome, Outcome::BrokeOff | Outcome::Failure) {
                self.open(policy, now);
            }
            return;
        }
        if ticket.generation != self.generation {
            return;
        }
        match &mut self.state {
            State::Closed(counts) => {
                counts.add(outcome, now);
                // Only a failure opens it: what succeeds says nothing bad, however few there are.
                let failed = matches!(outcome, Outcome::Failure | Outcome::BrokeOff);
                if failed && counts.are_bad(policy, now) {
                    self.open(policy, now);
                } else if let State::Closed(counts) = &mut self.state {
                    counts.forget(policy);
                }
            }
            State::Open { .. } => {}
            State::HalfOpen { succeeded, probes, settled } => {
                let Some(at) = probes.iter().position(|probe| Some(probe.id) == ticket.probe) else { return };
                if outcome == Outcome::Answered {
                    probes[at].answered = Some(now);
                    return;
                }
                probes.remove(at);
                match outcome {
                    Outcome::Success => {
                        *succeeded += 1;
                        if *succeeded >= policy.half_open_requests {
                            let probation = std::mem::take(settled);
                            self.enter(State::Closed(Counts { since: now, probation, ..Counts::default() }));
                        }
                    }
                    Outcome::Failure | Outcome::BrokeOff => self.open(policy, now),
                    Outcome::Answered | Outcome::Unknown => {}
                }
            }
        }
    }

    /// What time alone changes.
    fn catch_up(&mut self, policy: &Policy, now: u64) {
        match &mut self.state {
            State::Closed(counts) => {
                // A clock that was set back must not keep a window for ever.
                let set_back = counts.since > now.saturating_add(SLACK_MS);
                let age = now.saturating_sub(counts.since);
                let over = policy.interval_ms > 0 && age >= policy.interval_ms;
                if over && !set_back && counts.are_dense() && age < policy.interval_ms.saturating_mul(2) {
                    // What was last is no older than a window: to begin with nothing would let three failures of a thousand
                    // requests a second open it.
                    counts.since = now;
                    counts.halve();
                } else if over || set_back {
                    self.enter(State::Closed(Counts { since: now, ..Counts::default() }));
                }
            }
            State::Open { until } => {
                let longest = now.saturating_add(policy.open_for_ms);
                if *until > longest.saturating_add(SLACK_MS) {
                    *until = longest;
                }
                if now >= *until {
                    self.enter(State::HalfOpen { succeeded: 0, probes: Vec::new(), settled: Vec::new() });
                }
            }
            // Probes lose their places only where another one wants one: a late report still counts until then.
            State::HalfOpen { succeeded, probes, settled } => {
                let over = |probe: &mut Probe| {
                    probe
                        .answered
                        .is_some_and(|at| now.saturating_sub(at) >= SETTLE_MS || at > now.saturating_add(SLACK_MS))
                };
                for probe in probes.extract_if(.., over) {
                    *succeeded = succeeded.saturating_add(1);
                    settled.push(probe.id);
                }
                if *succeeded >= policy.half_open_requests {
                    let probation = std::mem::take(settled);
                    self.enter(State::Closed(Counts { since: now, probation, ..Counts::default() }));
                }
            }
        }
    }

    fn open(&mut self, policy: &Policy, now: u64) {
        self.enter(State::Open { until: now.saturating_add(policy.open_for_ms) });
    }

    fn enter(&mut self, state: State) {
        self.generation = self.generation.wrapping_add(1);
        self.state = state;
    }
}

impl Counts {
    fn add(&mut self, outcome: Outcome, now: u64) {
        match outcome {
            Outcome::Success | Outcome::Answered => {
                self.successes = self.successes.saturating_add(1);
                self.row_before = self.row;
                self.row = 0;
                if self.row_before == 0 {
                    self.row_since = 0;
                }
            }
            Outcome::Failure => {
                self.failures = self.failures.saturating_add(1);
                self.lengthen(self.row, now);
            }
            Outcome::BrokeOff => {
                // It was no success, so it ended no row either.
                self.successes = self.successes.saturating_sub(1);
                self.failures = self.failures.saturating_add(1);
                self.lengthen(self.row.max(self.row_before), now);
            }
            Outcome::Unknown => {}
        }
    }

    fn lengthen(&mut self, row: u32, now: u64) {
        if row == 0 {
            self.row_since = now;
        }
        self.row = row.saturating_add(1);
    }

    fn are_bad(&self, policy: &Policy, now: u64) -> bool {
        let requests = self.results();
        let ratio = f64::from(self.failures) / f64::from(requests.max(1));
        let often = requests >= policy.minimum_requests && ratio >= policy.failure_ratio;
        let in_a_row = policy.consecutive_failures > 0
            && self.row >= policy.consecutive_failures
            && now.saturating_sub(self.row_since) >= ROW_MS;
        often || in_a_row
    }

    /// Makes room for what is new: the weight of the past must not grow with how long all was well.
    fn forget(&mut self, policy: &Policy) {
        let window = WINDOW.max(policy.minimum_requests.saturating_mul(2).saturating_add(2));
        if self.results() >= window {
            self.halve();
        }
    }

    fn results(&self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    fn halve(&mut self) {
        self.successes /= 2;
        self.failures /= 2;
    }

    /// Whether there were so many that a part of them tells enough.
    fn are_dense(&self) -> bool {
        self.results() >= WINDOW / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy {
        minimum_requests: 3,
        failure_ratio: 0.6,
        consecutive_failures: 5,
        interval_ms: 60_000,
        open_for_ms: 5000,
        half_open_requests: 1,
    };

    fn pass(breaker: &mut Breaker, now: u64, id: u64) -> Ticket {
        match breaker.admit(&POLICY, now, Body::Whole, || id) {
            Admission::Pass(ticket) => ticket,
            other => panic!("{other:?} at {now}"),
        }
    }

    fn opened(now: u64) -> Breaker {
        let mut breaker = Breaker::new(now);
        for id in 0..3 {
            let ticket = pass(&mut breaker, now, id);
            breaker.report(&POLICY, now, ticket, Outcome::Failure);
        }
        assert_eq!(breaker.state(), StateName::Open);
        breaker
    }

    #[test]
    fn opens_at_the_ratio_and_not_before_the_minimum() {
        let mut breaker = Breaker::new(0);
        for (outcome, state) in [
            (Outcome::Failure, StateName::Closed),
            (Outcome::Success, StateName::Closed),
            (Outcome::Success, StateName::Closed),
            (Outcome::Failure, StateName::Closed),
            // 3 of 5 are 0.6.
            (Outcome::Failure, StateName::Open),
        ] {
            let ticket = pass(&mut breaker, 0, 0);
            breaker.report(&POLICY, 0, ticket, outcome);
            assert_eq!(breaker.state(), state);
        }
    }

    #[test]
    fn open_rejects_until_its_time_is_over_and_a_good_probe_closes() {
        let mut breaker = opened(1000);
        assert_eq!(breaker.admit(&POLICY, 2000, Body::Whole, || 9), Admission::Reject { retry_after_ms: 4000 });
        let probe = pass(&mut breaker, 6000, 10);
        assert_eq!(breaker.state(), StateName::HalfOpen);
        assert!(matches!(breaker.admit(&POLICY, 6001, Body::Whole, || 11), Admission::Reject { .. }));
        breaker.report(&POLICY, 6002, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_failed_probe_opens_again_for_the_full_time() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5500, probe, Outcome::Failure);
        assert_eq!(breaker.admit(&POLICY, 5500, Body::Whole, || 2), Admission::Reject { retry_after_ms: 5000 });
    }

    #[test]
    fn a_cancelled_probe_counts_as_neither_and_frees_its_place() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5001, probe, Outcome::Unknown);
        assert_eq!(breaker.state(), StateName::HalfOpen);
        pass(&mut breaker, 5002, 2);
    }

    #[test]
    fn a_probe_slower_than_the_pause_still_closes_it_and_no_other_is_admitted_meanwhile() {
        let mut breaker = opened(0);
        let slow = pass(&mut breaker, 5000, 1);
        for now in [9999, 10_000, 60_000] {
            assert_eq!(breaker.admit(&POLICY, now, Body::Whole, || 2), Admission::Reject { retry_after_ms: 5000 });
        }
        breaker.report(&POLICY, 60_001, slow, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_lost_probe_is_replaced_after_its_lease_and_its_late_report_does_not_count() {
        let mut breaker = opened(0);
        let lost = pass(&mut breaker, 5000, 1);
        let over = 5000 + PROBE_LEASE_MS;
        assert!(matches!(breaker.admit(&POLICY, over - 1, Body::Whole, || 2), Admission::Reject { .. }));
        let second = pass(&mut breaker, over, 3);
        breaker.report(&POLICY, over + 1, lost, Outcome::Failure);
        assert_eq!(breaker.state(), StateName::HalfOpen);
        breaker.report(&POLICY, over + 2, second, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_probe_past_its_lease_counts_while_nobody_has_its_place() {
        let mut breaker = opened(0);
        let late = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5001 + PROBE_LEASE_MS, late, Outcome::Failure);
        assert_eq!(breaker.state(), StateName::Open);
    }

    #[test]
    fn a_worker_whose_clock_reading_is_older_does_not_throw_out_the_probe_of_another() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5020, 1);
        assert!(matches!(breaker.admit(&POLICY, 5000, Body::Whole, || 2), Admission::Reject { .. }));
        breaker.report(&POLICY, 5010, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
        // The window began at 5010: an older reading of the clock must not begin it anew.
        let ticket = pass(&mut breaker, 5000, 3);
        breaker.report(&POLICY, 5020, ticket, Outcome::Failure);
        breaker.report(&POLICY, 5005, ticket, Outcome::Failure);
        breaker.report(&POLICY, 5021, ticket, Outcome::Failure);
        assert_eq!(breaker.state(), StateName::Open);
        assert_eq!(breaker.admit(&POLICY, 5001, Body::Whole, || 4), Admission::Reject { retry_after_ms: 5020 });
    }

    #[test]
    fn a_clock_set_back_frees_the_places_of_probes() {
        let mut breaker = opened(1_000_000);
        pass(&mut breaker, 1_005_000, 1);
        pass(&mut breaker, 0, 2);
    }

    #[test]
    fn late_results_of_an_older_generation_do_not_count() {
        let mut breaker = Breaker::new(0);
        let late: Vec<Ticket> = (0..3).map(|id| pass(&mut breaker, 0, id)).collect();
        for ticket in &late {
            breaker.report(&POLICY, 60_000, *ticket, Outcome::Failure);
        }
        assert_eq!(breaker.state(), StateName::Closed, "the window of these is over");
    }

    #[test]
    fn a_body_that_breaks_off_turns_its_success_into_a_failure() {
        let mut breaker = Breaker::new(0);
        for id in 0..3 {
            let ticket = pass(&mut breaker, 0, id);
            breaker.report(&POLICY, 0, ticket, Outcome::Success);
            breaker.report(&POLICY, 0, ticket, Outcome::BrokeOff);
        }
        assert_eq!(breaker.state(), StateName::Open);
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_open() {
        let mut breaker = opened(1_000_000);
        assert_eq!(breaker.admit(&POLICY, 0, Body::Whole, || 1), Admission::Reject { retry_after_ms: 5000 });
        pass(&mut breaker, 5000, 2);
    }

    #[test]
    fn a_probe_that_answers_and_is_then_cut_opens_it_again() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5010, probe, Outcome::Answered);
        assert!(matches!(breaker.admit(&POLICY, 5020, Body::Whole, || 2), Admission::Reject { .. }));
        breaker.report(&POLICY, 5100, probe, Outcome::BrokeOff);
        assert_eq!(breaker.admit(&POLICY, 5100, Body::Whole, || 3), Admission::Reject { retry_after_ms: 5000 });
    }

    #[test]
    fn a_probe_whose_long_body_is_cut_after_it_closed_the_breaker_opens_it_again() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5010, probe, Outcome::Answered);
        pass(&mut breaker, 5010 + SETTLE_MS, 2);
        assert_eq!(breaker.state(), StateName::Closed, "nobody waits for a slow reader");
        breaker.report(&POLICY, 20_000, probe, Outcome::BrokeOff);
        assert_eq!(breaker.state(), StateName::Open);
    }

    #[test]
    fn the_end_of_a_probes_body_closes_it_at_once_and_the_end_of_a_settled_one_changes_nothing() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5010, probe, Outcome::Answered);
        breaker.report(&POLICY, 5011, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5010, probe, Outcome::Answered);
        pass(&mut breaker, 7000, 2);
        for outcome in [Outcome::Success, Outcome::Unknown] {
            breaker.report(&POLICY, 7001, probe, outcome);
            assert_eq!(breaker.state(), StateName::Closed);
        }
    }

    #[test]
    fn uploads_that_stall_hold_no_place_of_requests_that_are_whole() {
        let mut breaker = opened(0);
        let mut stalled = 0;
        for now in (5000..7000).step_by(20) {
            match breaker.admit(&POLICY, now, Body::Streaming, || now / 20 * 7919) {
                Admission::Pass(_) => stalled += 1,
                other => assert!(matches!(other, Admission::Reject { .. })),
            }
        }
        assert!((8..=32).contains(&stalled), "eight at a time, for half a second each: {stalled}");
        assert_eq!(breaker.admit(&POLICY, 7000, Body::Small, || 1), Admission::AfterBody);
        let probe = pass(&mut breaker, 7001, 2);
        assert!(matches!(breaker.admit(&POLICY, 7002, Body::Small, || 3), Admission::Reject { .. }));
        breaker.report(&POLICY, 7003, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    /// One good upload a second, `offset` behind the stalled ones; how many of them it took.
    fn uploads_until_closed(stalled_per_second: u64, offset: u64, seed: u64) -> Option<u64> {
        // SplitMix64, in place of the host's random numbers.
        let mut drawn = seed;
        let mut id = || {
            drawn = drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1
        };
        let mut breaker = opened(0);
        for now in 5000..65_000 {
            if now * stalled_per_second / 1000 > (now - 1) * stalled_per_second / 1000 {
                breaker.admit(&POLICY, now, Body::Streaming, &mut id);
            }
            if now % 1000 == offset
                && let Admission::Pass(ticket) = breaker.admit(&POLICY, now, Body::Streaming, &mut id)
            {
                breaker.report(&POLICY, now, ticket, Outcome::Success);
                return Some((now - 5000) / 1000);
            }
        }
        None
    }

    #[test]
    fn a_good_upload_among_fifty_stalled_ones_a_second_closes_it_soon_whatever_their_rhythm() {
        let mut all = Vec::new();
        for offset in (0..1000).step_by(37) {
            for seed in 0..20 {
                all.push(uploads_until_closed(50, offset, seed * 7919 + offset).expect("it closes"));
            }
        }
        all.sort_unstable();
        let (median, last) = (all[all.len() / 2], all[all.len() - 1]);
        assert!(median <= 4 && last <= 45, "median {median}, at most {last}");
    }

    #[test]
    fn a_slow_upload_that_lost_its_place_still_closes_it() {
        let mut breaker = opened(0);
        let Admission::Pass(slow) = breaker.admit(&POLICY, 5000, Body::Streaming, || 1) else { panic!("rejected") };
        for id in 2..2 + 2 * u64::from(STREAMING_PLACES) {
            breaker.admit(&POLICY, 6000, Body::Streaming, || id);
        }
        breaker.report(&POLICY, 9000, slow, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn probes_that_never_report_are_forgotten_one_by_one() {
        let mut breaker = opened(0);
        for second in 0..1000 {
            let now = 5000 + second * 1000;
            assert!(matches!(breaker.admit(&POLICY, now, Body::Streaming, || second), Admission::Pass(_)));
        }
        assert!(serde_json::to_vec(&breaker).unwrap().len() < 20_000);
    }

    /// Traffic at an even pace; `fails` says which requests fail. Failures until it opened, and how long that took.
    fn until_open(per_second: u64, healthy_s: u64, fails: impl Fn(u64) -> bool) -> Option<(u64, u64)> {
        let mut breaker = Breaker::new(0);
        let (mut failed, begin) = (0, healthy_s * 1000);
        for number in 0..per_second * (healthy_s + 120) {
            let now = number * 1000 / per_second;
            let Admission::Pass(ticket) = breaker.admit(&POLICY, now, Body::Whole, || number) else {
                return Some((failed, now - begin));
            };
            let bad = now >= begin && fails(number);
            failed += u64::from(bad);
            breaker.report(&POLICY, now, ticket, if bad { Outcome::Failure } else { Outcome::Success });
        }
        None
    }

    #[test]
    fn it_opens_as_soon_after_long_health_as_after_short_at_any_pace() {
        for (per_second, most, within_ms) in
            [(1, 5, 5000), (10, 11, 1200), (100, 75, 800), (1000, 75, 80), (10_000, 75, 8)]
        {
            for healthy_s in [0, 1, 3, 30, 59, 60, 90, 3600] {
                if per_second * healthy_s > 1_000_000 {
                    continue;
                }
                let (failed, took) = until_open(per_second, healthy_s, |_| true).expect("it opens");
                let case = format!("{failed} failures in {took} ms at {per_second}/s after {healthy_s} s");
                assert!(failed <= most && took <= within_ms, "{case}");
            }
        }
    }

    #[test]
    fn failures_below_the_ratio_do_not_open_it_at_any_pace() {
        for per_second in [1, 10, 1000, 10_000] {
            assert_eq!(until_open(per_second, 10, |number| number % 2 == 0), None, "{per_second}/s");
        }
    }

    #[test]
    fn failures_above_the_ratio_open_it_among_successes() {
        for (per_second, most) in [(10, 400), (1000, 400), (10_000, 400)] {
            let (failed, _) = until_open(per_second, 30, |number| number % 4 != 0).expect("it opens");
            assert!(failed <= most, "{failed} at {per_second}/s");
        }
    }

    #[test]
    fn five_failures_at_once_among_much_traffic_do_not_open_it() {
        let at_once = |number: u64| number % 1000 < 5;
        assert_eq!(until_open(1000, 10, at_once), None);
    }

    #[test]
    fn bodies_that_are_all_cut_are_a_row_though_their_heads_were_good() {
        let mut breaker = Breaker::new(0);
        for now in 0..50 {
            let ticket = pass(&mut breaker, now, 0);
            breaker.report(&POLICY, now, ticket, Outcome::Success);
        }
        for number in 0..5 {
            let now = 1000 + number * 500;
            let ticket = pass(&mut breaker, now, 0);
            breaker.report(&POLICY, now, ticket, Outcome::Success);
            breaker.report(&POLICY, now, ticket, Outcome::BrokeOff);
        }
        assert_eq!(breaker.state(), StateName::Open);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit(bool),
        Report(usize, Outcome),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcomes = [Outcome::Success, Outcome::Answered, Outcome::Failure, Outcome::BrokeOff, Outcome::Unknown];
        let outcome = prop::sample::select(outcomes.to_vec());
        prop_oneof![
            4 => any::<bool>().prop_map(Step::Admit),
            4 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Step::Report(at, outcome)),
            1 => prop_oneof![4 => 0u64..4000, 1 => 0u64..2 * PROBE_LEASE_MS].prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Never more than N probes of a kind within their time, it opens by a failure only, and its state stays small.
        #[test]
        fn holds_its_promises(steps in prop::collection::vec(step(), 1..300), probes in 1u32..4) {
            let policy = Policy { half_open_requests: probes, interval_ms: 20_000, ..POLICY };
            let (mut breaker, mut now) = (Breaker::new(1), 1);
            let mut waiting: Vec<(Ticket, bool, u64)> = Vec::new();
            for (id, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Wait(by) => now += by,
                    Step::Admit(whole) => {
                        let body = if whole { Body::Whole } else { Body::Streaming };
                        match breaker.admit(&policy, now, body, || id as u64) {
                            Admission::Pass(ticket) => waiting.push((ticket, whole, now)),
                            Admission::AfterBody => prop_assert!(false, "only a small body is waited for"),
                            Admission::Reject { retry_after_ms } => {
                                prop_assert!(retry_after_ms > 0);
                                prop_assert_ne!(breaker.state(), StateName::Closed);
                            }
                        }
                        let generation = breaker.generation;
                        let streaming = (places_for_streaming(probes), STREAMING_LEASE_MS);
                        for (kind, (most, lease)) in [(true, (probes, PROBE_LEASE_MS)), (false, streaming)] {
                            let alive = |(ticket, whole, at): &&(Ticket, bool, u64)| {
                                ticket.is_probe() && ticket.generation == generation && *whole == kind && now < at + lease
                            };
                            prop_assert!(waiting.iter().filter(alive).count() <= most as usize);
                        }
                    }
                    Step::Report(at, outcome) if !waiting.is_empty() => {
                        let at = at % waiting.len();
                        let (ticket, ..) = waiting[at];
                        if outcome != Outcome::Answered {
                            waiting.swap_remove(at);
                        }
                        let before = breaker.state();
                        breaker.report(&policy, now, ticket, outcome);
                        if before != StateName::Open && breaker.state() == StateName::Open {
                            prop_assert!(matches!(outcome, Outcome::Failure | Outcome::BrokeOff));
                        }
                    }
                    Step::Report(..) => {}
                }
                prop_assert!(serde_json::to_vec(&breaker).unwrap().len() < 32_000);
            }
        }
    }
}
