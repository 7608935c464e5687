//! The breaker as a state machine: gobreaker's states and generations. Pure; time is milliseconds passed in.
//!
//! A ticket names the generation in which its request was admitted. Each change of state, and each new counting window,
//! begins a generation; what is reported with a ticket of another one no longer counts.

use serde::{Deserialize, Serialize};

/// How long a probe that doesn't report holds its place against others. Probes don't expire by themselves, however long
/// the upstream takes: this only keeps one whose exchange was lost from closing the way for ever.
pub const PROBE_LEASE_MS: u64 = 300_000;
/// Workers read the clock one after the other, and it is adjusted now and then: only what lies further ahead than this
/// is taken for a clock that was set back.
const SLACK_MS: u64 = 1000;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Fewer finished requests in a window never open it.
    pub minimum_requests: u32,
    /// The share of failures from which on it opens.
    pub failure_ratio: f64,
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
    Closed { since: u64, successes: u32, failures: u32 },
    Open { until: u64 },
    HalfOpen { succeeded: u32, probes: Vec<Probe> },
}

/// A probe under way. After `until` another one may have its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Probe {
    id: u64,
    until: u64,
}

impl Probe {
    fn is_lost(&self, now: u64) -> bool {
        now >= self.until || self.until > now.saturating_add(PROBE_LEASE_MS + SLACK_MS)
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

/// The answer to a request that wants to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may, and has to report.
    Pass(Ticket),
    /// It may not; a later one might after this time.
    Reject {
        /// Milliseconds from now.
        retry_after_ms: u64,
    },
}

/// How an admitted request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Success,
    /// It failed.
    Failure,
    /// It was reported as a success when its head came, and then its body broke off.
    BrokeOff,
    /// Nothing is known of the upstream: the client left, or another plugin answered.
    Unknown,
}

impl Breaker {
    /// A closed breaker. Its generation comes from the clock, so that tickets of a forgotten one don't fit.
    pub fn new(now: u64) -> Self {
        Self { generation: now, state: State::Closed { since: now, successes: 0, failures: 0 } }
    }

    /// The state it is in.
    pub fn state(&self) -> StateName {
        match self.state {
            State::Closed { .. } => StateName::Closed,
            State::Open { .. } => StateName::Open,
            State::HalfOpen { .. } => StateName::HalfOpen,
        }
    }

    /// A request wants to pass. `id` tells its probe from others; it is made only for a probe.
    pub fn admit(&mut self, policy: &Policy, now: u64, id: impl FnOnce() -> u64) -> Admission {
        self.catch_up(policy, now);
        let probe = match &mut self.state {
            State::Closed { .. } => None,
            State::Open { until } => return Admission::Reject { retry_after_ms: until.saturating_sub(now).max(1) },
            State::HalfOpen { succeeded, probes } => {
                let full = |probes: &Vec<Probe>| {
                    u64::from(*succeeded) + probes.len() as u64 >= u64::from(policy.half_open_requests)
                };
                if full(probes) {
                    probes.retain(|probe| !probe.is_lost(now));
                }
                if full(probes) {
                    // Nobody knows when the probes report. If they fail, it is open for this long.
                    return Admission::Reject { retry_after_ms: policy.open_for_ms.max(1) };
                }
                let id = id();
                probes.push(Probe { id, until: now.saturating_add(PROBE_LEASE_MS) });
                Some(id)
            }
        };
        Admission::Pass(Ticket { generation: self.generation, probe })
    }

    /// An admitted request tells how it went.
    pub fn report(&mut self, policy: &Policy, now: u64, ticket: Ticket, outcome: Outcome) {
        self.catch_up(policy, now);
        if ticket.generation != self.generation {
            return;
        }
        match &mut self.state {
            State::Closed { successes, failures, .. } => {
                match outcome {
                    Outcome::Success => *successes = successes.saturating_add(1),
                    Outcome::Failure => *failures = failures.saturating_add(1),
                    Outcome::BrokeOff => {
                        *successes = successes.saturating_sub(1);
                        *failures = failures.saturating_add(1);
                    }
                    Outcome::Unknown => return,
                }
                let requests = successes.saturating_add(*failures);
                let ratio = f64::from(*failures) / f64::from(requests.max(1));
                if outcome != Outcome::Success && requests >= policy.minimum_requests && ratio >= policy.failure_ratio {
                    self.open(policy, now);
                }
            }
            // Nobody holds a ticket of this generation: opening began it.
            State::Open { .. } => {}
            State::HalfOpen { succeeded, probes } => {
                let Some(at) = probes.iter().position(|probe| Some(probe.id) == ticket.probe) else { return };
                probes.remove(at);
                match outcome {
                    Outcome::Success => {
                        *succeeded += 1;
                        if *succeeded >= policy.half_open_requests {
                            self.enter(State::Closed { since: now, successes: 0, failures: 0 });
                        }
                    }
                    Outcome::Failure | Outcome::BrokeOff => self.open(policy, now),
                    Outcome::Unknown => {}
                }
            }
        }
    }

    /// What time alone changes.
    fn catch_up(&mut self, policy: &Policy, now: u64) {
        match &mut self.state {
            State::Closed { since, .. } => {
                // A clock that was set back must not keep a window for ever.
                let set_back = *since > now.saturating_add(SLACK_MS);
                let over = policy.interval_ms > 0 && now.saturating_sub(*since) >= policy.interval_ms;
                if over || set_back {
                    self.enter(State::Closed { since: now, successes: 0, failures: 0 });
                }
            }
            State::Open { until } => {
                let longest = now.saturating_add(policy.open_for_ms);
                if *until > longest.saturating_add(SLACK_MS) {
                    *until = longest;
                }
                if now >= *until {
                    self.enter(State::HalfOpen { succeeded: 0, probes: Vec::new() });
                }
            }
            // Probes lose their places only where another one wants one: a late report still counts until then.
            State::HalfOpen { .. } => {}
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy {
        minimum_requests: 3,
        failure_ratio: 0.6,
        interval_ms: 60_000,
        open_for_ms: 5000,
        half_open_requests: 1,
    };

    fn pass(breaker: &mut Breaker, now: u64, id: u64) -> Ticket {
        match breaker.admit(&POLICY, now, || id) {
            Admission::Pass(ticket) => ticket,
            Admission::Reject { .. } => panic!("rejected at {now}"),
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
        assert_eq!(breaker.admit(&POLICY, 2000, || 9), Admission::Reject { retry_after_ms: 4000 });
        let probe = pass(&mut breaker, 6000, 10);
        assert_eq!(breaker.state(), StateName::HalfOpen);
        assert!(matches!(breaker.admit(&POLICY, 6001, || 11), Admission::Reject { .. }));
        breaker.report(&POLICY, 6002, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_failed_probe_opens_again_for_the_full_time() {
        let mut breaker = opened(0);
        let probe = pass(&mut breaker, 5000, 1);
        breaker.report(&POLICY, 5500, probe, Outcome::Failure);
        assert_eq!(breaker.admit(&POLICY, 5500, || 2), Admission::Reject { retry_after_ms: 5000 });
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
            assert_eq!(breaker.admit(&POLICY, now, || 2), Admission::Reject { retry_after_ms: 5000 });
        }
        breaker.report(&POLICY, 60_001, slow, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_lost_probe_is_replaced_after_its_lease_and_its_late_report_does_not_count() {
        let mut breaker = opened(0);
        let lost = pass(&mut breaker, 5000, 1);
        let over = 5000 + PROBE_LEASE_MS;
        assert!(matches!(breaker.admit(&POLICY, over - 1, || 2), Admission::Reject { .. }));
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
        assert!(matches!(breaker.admit(&POLICY, 5000, || 2), Admission::Reject { .. }));
        breaker.report(&POLICY, 5010, probe, Outcome::Success);
        assert_eq!(breaker.state(), StateName::Closed);
        // The window began at 5010: an older reading of the clock must not begin it anew.
        let ticket = pass(&mut breaker, 5000, 3);
        breaker.report(&POLICY, 5020, ticket, Outcome::Failure);
        breaker.report(&POLICY, 5005, ticket, Outcome::Failure);
        breaker.report(&POLICY, 5021, ticket, Outcome::Failure);
        assert_eq!(breaker.state(), StateName::Open);
        assert_eq!(breaker.admit(&POLICY, 5001, || 4), Admission::Reject { retry_after_ms: 5020 });
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
        assert_eq!(breaker.admit(&POLICY, 0, || 1), Admission::Reject { retry_after_ms: 5000 });
        pass(&mut breaker, 5000, 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit,
        Report(usize, Outcome),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Failure), Just(Outcome::Unknown)];
        prop_oneof![
            4 => Just(Step::Admit),
            4 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Step::Report(at, outcome)),
            1 => prop_oneof![4 => 0u64..4000, 1 => 0u64..2 * PROBE_LEASE_MS].prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Never more than N probes within their time, and it leaves `closed` only where the counts say so.
        #[test]
        fn holds_its_promises(steps in prop::collection::vec(step(), 1..300), probes in 1u32..4) {
            let policy = Policy { half_open_requests: probes, interval_ms: 20_000, ..POLICY };
            let (mut breaker, mut now) = (Breaker::new(1), 1);
            let mut waiting: Vec<(Ticket, u64)> = Vec::new();
            // A model of the closed counts: generation, successes, failures.
            let mut counts = (breaker.generation, 0u32, 0u32);
            for (id, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Wait(by) => now += by,
                    Step::Admit => {
                        if let Admission::Pass(ticket) = breaker.admit(&policy, now, || id as u64) {
                            waiting.push((ticket, now));
                        } else {
                            prop_assert_ne!(breaker.state(), StateName::Closed);
                        }
                        let generation = breaker.generation;
                        let alive = |(ticket, at): &&(Ticket, u64)| {
                            ticket.probe.is_some() && ticket.generation == generation && now < at + PROBE_LEASE_MS
                        };
                        prop_assert!(waiting.iter().filter(alive).count() <= probes as usize);
                    }
                    Step::Report(at, outcome) if !waiting.is_empty() => {
                        let (ticket, _) = waiting.swap_remove(at % waiting.len());
                        let before = breaker.state();
                        let mut caught_up = breaker.clone();
                        caught_up.catch_up(&policy, now);
                        if caught_up.generation != counts.0 {
                            counts = (caught_up.generation, 0, 0);
                        }
                        let counted = before == StateName::Closed && ticket.generation == counts.0;
                        match outcome {
                            Outcome::Success if counted => counts.1 += 1,
                            Outcome::Failure if counted => counts.2 += 1,
                            _ => {}
                        }
                        breaker.report(&policy, now, ticket, outcome);
                        if before == StateName::Closed {
                            let total = counts.1 + counts.2;
                            let due = counted && outcome == Outcome::Failure && total >= 3
                                && f64::from(counts.2) / f64::from(total) >= 0.6;
                            prop_assert_eq!(breaker.state() == StateName::Open, due);
                        }
                    }
                    Step::Report(..) => {}
                }
            }
        }
    }
}
