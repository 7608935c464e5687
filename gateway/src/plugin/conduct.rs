//! How the calls of one entry go on one worker, and what follows for the next ones. Pure; time is passed in.
//!
//! Most calls end within microseconds, on the caller's stack. There nothing can interrupt them for others, so an entry whose
//! calls take long gets a stack for each, on which they give way ([`super::turns`]); one that uses more of the worker's
//! time than its share waits; one whose calls come to nothing again and again is not called for a while, and neither is it
//! instantiated where that is what costs.

use std::time::{Duration, Instant};

/// What a call may take before its entry's calls give way to others.
pub(super) const SLICE: Duration = Duration::from_millis(1);
/// A plugin that may use more in a call gives way from its first one on.
const LONGEST_ON_CALLERS_STACK: Duration = Duration::from_millis(10);
/// Calls that are measured after one that took long, perhaps because the machine was busy with something else.
const MEASURED: u32 = 100;
/// How long an entry's calls give way after one that took long; twice as long each time that it happens again soon.
const FIRST_SPELL: Duration = Duration::from_secs(60);
const LONGEST_SPELL: Duration = Duration::from_secs(3600);

/// How the next call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// On the caller's stack.
    Plain,
    /// On a stack of its own, its CPU time measured. It gives way when it takes long.
    Measured,
    /// The same, and it waits for its turn before it begins.
    InTurn,
}

/// Since when, and how, an entry's calls give way.
#[derive(Debug)]
struct Pace {
    /// What it is where nothing has happened.
    usual: Way,
    /// Calls that are still to be measured.
    measured: u32,
    /// Calls take turns until then.
    until: Option<Instant>,
    spell: Duration,
}

impl Pace {
    fn new(cpu: Duration) -> Self {
        let usual = if cpu > LONGEST_ON_CALLERS_STACK { Way::Measured } else { Way::Plain };
        Self { usual, measured: 0, until: None, spell: FIRST_SPELL }
    }

    fn way(&mut self, now: Instant) -> Way {
        if self.until.is_some_and(|until| now < until) {
            return Way::InTurn;
        }
        if self.measured > 0 {
            self.measured -= 1;
            return Way::Measured;
        }
        self.usual
    }

    /// A call took long by the clock; what of it was its own is not known.
    const fn suspect(&mut self) {
        self.measured = MEASURED;
    }

    /// A call took long.
    fn overran(&mut self, now: Instant) {
        match self.until {
            Some(until) if now < until => {}
            // Again, soon after it was let off.
            Some(until) if now < until + self.spell => self.spell = (self.spell * 2).min(LONGEST_SPELL),
            _ => self.spell = FIRST_SPELL,
        }
        self.until = Some(now + self.spell);
    }
}

/// A token bucket of CPU time: filled by the clock, to no more than what a second brings.
#[derive(Debug)]
struct Share {
    /// Nanoseconds that each second brings.
    per_second: i64,
    left: i64,
    filled: Instant,
}

impl Share {
    fn new(percent: u32, now: Instant) -> Self {
        let per_second = i64::from(percent) * 10_000_000;
        Self { per_second, left: per_second, filled: now }
    }

    fn spend(&mut self, used: Duration) {
        self.left = self.left.saturating_sub(nanoseconds(used));
    }

    /// Whether something is left. What the clock has brought is added only where it is needed.
    fn is_spent(&mut self, now: Instant) -> bool {
        if self.left > 0 {
            return false;
        }
        let passed = i128::from(nanoseconds(now.saturating_duration_since(self.filled)));
        let brought = passed * i128::from(self.per_second) / 1_000_000_000;
        let left = (i128::from(self.left) + brought).min(i128::from(self.per_second));
        (self.left, self.filled) = (i64::try_from(left).unwrap_or(0), now);
        self.left <= 0
    }

    /// When there will be enough for a slice; `None`: now.
    fn next(&mut self, now: Instant) -> Option<Instant> {
        if !self.is_spent(now) {
            return None;
        }
        let missing = i128::from(nanoseconds(SLICE)) - i128::from(self.left);
        let wait = missing * 1_000_000_000 / i128::from(self.per_second.max(1));
        Some(now + Duration::from_nanos(u64::try_from(wait).unwrap_or(0)))
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What an entry may waste before it is paused. A debt of CPU time that good calls and the clock pay back: whoever finds an
/// input that fails, and sends it among good ones, pauses nobody.
#[derive(Debug)]
struct Penalty {
    /// So many failures as dear as the dearest are nothing.
    forgiven: u32,
    debt: Duration,
    /// The dearest failure of those that are not paid.
    dearest: Duration,
    /// Until when the clock has paid.
    paid: Option<Instant>,
    until: Option<Instant>,
    /// Pauses in a row.
    pauses: u32,
}

/// What may be wasted in any case.
const FORGIVEN: Duration = Duration::from_millis(100);
/// Failed calls, and lost instances, as dear as the dearest.
const FORGIVEN_CALLS: u32 = 8;
const FORGIVEN_MAKES: u32 = 2;
/// What a good call pays, and what part of the time that passes.
const PER_GOOD_CALL: Duration = SLICE;
const PER_TIME: u32 = 20;
/// The first pause, or twice the dearest failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Penalty {
    const fn new(forgiven: u32) -> Self {
        Self { forgiven, debt: Duration::ZERO, dearest: Duration::ZERO, paid: None, until: None, pauses: 0 }
    }

    /// A failure wasted so much. The pause that begins with it, if one does.
    fn wasted(&mut self, now: Instant, wasted: Duration) -> Option<Duration> {
        let paid = self.paid.replace(now).unwrap_or(now);
        self.dearest = self.dearest.max(wasted);
        let limit = FORGIVEN.max(self.dearest * self.forgiven);
        let debt = self.debt.saturating_sub(now.saturating_duration_since(paid) / PER_TIME) + wasted;
        self.debt = debt.min(limit + self.dearest);
        if self.debt <= limit || self.left(now).is_some() {
            return None;
        }
        if self.until.is_some_and(|until| now > until + LONGEST_PAUSE) {
            self.pauses = 0;
        }
        let first = FIRST_PAUSE.max(self.dearest * 2);
        let pause = first.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
        self.pauses += 1;
        self.until = Some(now + pause);
        // The pause itself pays nothing, or a long one would end in another first one.
        self.paid = self.until;
        Some(pause)
    }

    fn good(&mut self) {
        self.debt = self.debt.saturating_sub(PER_GOOD_CALL);
        if self.debt.is_zero() {
            *self = Self::new(self.forgiven);
        }
    }

    /// What is left of the pause.
    fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Conduct {
    pace: Pace,
    share: Share,
    calls: Penalty,
    makes: Penalty,
    /// There is something to look at before a call: kept so that a call of a good entry reads one flag.
    watched: bool,
}

impl Conduct {
    /// Of an entry whose calls may take `cpu` each, and `percent` of the worker's time together.
    pub(super) fn new(cpu: Duration, percent: u32, now: Instant) -> Self {
        let pace = Pace::new(cpu);
        let watched = pace.usual != Way::Plain;
        let (calls, makes) = (Penalty::new(FORGIVEN_CALLS), Penalty::new(FORGIVEN_MAKES));
        Self { pace, share: Share::new(percent, now), calls, makes, watched }
    }

    /// Whether its calls may give way, so that they keep what they were lent meanwhile.
    pub(super) const fn is_watched(&self) -> bool {
        self.watched
    }

    /// How the next call is made.
    pub(super) fn way(&mut self, now: Instant) -> Way {
        if !self.watched {
            return Way::Plain;
        }
        let way = self.pace.way(now);
        let idle = |penalty: &Penalty| penalty.debt.is_zero();
        self.watched = way != Way::Plain || !idle(&self.calls) || !idle(&self.makes);
        way
    }

    /// For how long it is not called any more.
    pub(super) fn paused(&self, now: Instant) -> Option<Duration> {
        if self.watched { self.calls.left(now) } else { None }
    }

    /// For how long it is not instantiated any more.
    pub(super) fn makes_paused(&self, now: Instant) -> Option<Duration> {
        if self.watched { self.makes.left(now) } else { None }
    }

    /// A call used so much of the thread, by the clock.
    pub(super) fn used(&mut self, now: Instant, used: Duration) {
        self.share.spend(used);
        if self.share.is_spent(now) {
            self.overran(now);
        }
    }

    /// A call took longer than [`SLICE`]: by its CPU time, where that is known.
    pub(super) fn took_long(&mut self, now: Instant, known: bool) {
        if known {
            self.overran(now)
        } else {
            self.pace.suspect()
        }
        self.watched = true;
    }

    fn overran(&mut self, now: Instant) {
        self.pace.overran(now);
        self.watched = true;
    }

    /// A call came to an end as it should.
    pub(super) fn good(&mut self) {
        if self.watched {
            self.calls.good();
            self.makes.good();
        }
    }

    /// A call failed that used so much CPU time. The pause that begins.
    pub(super) fn failed(&mut self, now: Instant, used: Duration) -> Option<Duration> {
        self.watched = true;
        self.calls.wasted(now, used)
    }

    /// An instance was lost, or was not to be had, that took so much CPU time to make. The pause that begins.
    pub(super) fn lost(&mut self, now: Instant, made_in: Duration) -> Option<Duration> {
        self.watched = true;
        self.makes.wasted(now, made_in)
    }

    /// When its share has time for a slice; `None`: now.
    pub(super) fn next_slice(&mut self, now: Instant) -> Option<Instant> {
        self.share.next(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn of(percent: u32) -> (Conduct, Instant) {
        let now = Instant::now();
        (Conduct::new(10 * MS, percent, now), now)
    }

    #[test]
    fn a_good_entry_is_called_on_the_callers_stack_and_not_looked_at() {
        let (mut conduct, mut now) = of(80);
        for _ in 0..100_000 {
            now += MS;
            assert_eq!(conduct.way(now), Way::Plain);
            conduct.used(now, MS / 2);
            conduct.good();
            assert!(!conduct.is_watched());
        }
    }

    #[test]
    fn an_entry_that_overran_takes_turns_for_a_minute_and_for_longer_each_time_that_it_does_it_again() {
        let (mut conduct, mut now) = of(80);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            conduct.took_long(now, true);
            let spell = Duration::from_secs(minutes * 60);
            assert_eq!(conduct.way(now + spell - MS), Way::InTurn, "{minutes}");
            now += spell;
            assert_eq!(conduct.way(now), Way::Plain, "{minutes}");
            assert!(!conduct.is_watched(), "{minutes}");
            now += spell / 2;
        }
        now += 2 * LONGEST_SPELL;
        conduct.took_long(now, true);
        assert_eq!(conduct.way(now + FIRST_SPELL), Way::Plain, "forgiven");
    }

    #[test]
    fn a_call_that_a_busy_machine_held_up_has_the_next_ones_measured_and_no_more() {
        let (mut conduct, now) = of(80);
        conduct.took_long(now, false);
        for _ in 0..MEASURED {
            assert_eq!(conduct.way(now), Way::Measured);
        }
        assert_eq!(conduct.way(now), Way::Plain);
    }

    #[test]
    fn a_plugin_that_may_take_long_never_has_the_callers_stack() {
        let now = Instant::now();
        assert_eq!(Conduct::new(11 * MS, 80, now).way(now), Way::Measured);
    }

    #[test]
    fn an_entry_that_used_its_share_waits_until_it_has_some_again() {
        let (mut conduct, mut now) = of(50);
        let mut used = Duration::ZERO;
        let end = now + Duration::from_secs(10);
        while now < end {
            match conduct.next_slice(now) {
                Some(later) => now = later,
                None => {
                    conduct.used(now, MS);
                    used += MS;
                    now += MS;
                }
            }
        }
        assert!(
            (5_000 * MS..=5_600 * MS).contains(&used),
            "{used:?}: half of ten seconds, and what was saved up before"
        );
        assert_eq!(conduct.way(now), Way::InTurn);
    }

    #[test]
    fn many_short_calls_take_turns_when_they_use_more_than_the_share() {
        let (mut conduct, now) = of(10);
        for _ in 0..500 {
            conduct.used(now, MS / 5);
        }
        assert_eq!(conduct.way(now), Way::InTurn);
    }

    /// Time spent until nothing but pauses come, with `calls` a second that waste so much each.
    fn pauses(conduct: &mut Conduct, now: &mut Instant, good: u32, calls: u32) -> Vec<u128> {
        let mut seen = Vec::new();
        for _ in 0..calls {
            *now += Duration::from_secs(1) / 16;
            if conduct.paused(*now).is_none() {
                (0..good).for_each(|_| conduct.good());
                seen.extend(conduct.failed(*now, 12 * MS).map(|pause| pause.as_millis()));
            }
        }
        seen
    }

    #[test]
    fn an_entry_that_overruns_again_and_again_is_paused_for_longer_and_longer() {
        let (mut conduct, mut now) = of(80);
        let seen = pauses(&mut conduct, &mut now, 0, 10_000);
        assert_eq!(seen[..9], [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
        now += 3 * LONGEST_PAUSE;
        assert_eq!(conduct.paused(now), None);
        (0..1000).for_each(|_| conduct.good());
        assert_eq!(conduct.way(now), Way::Plain);
        assert!(!conduct.is_watched(), "forgiven after good calls");
        assert_eq!(pauses(&mut conduct, &mut now, 0, 100)[0], 250, "and it begins anew");
    }

    #[test]
    fn who_finds_an_input_that_fails_pauses_nobody_elses_good_calls() {
        let (mut conduct, mut now) = of(80);
        assert!(pauses(&mut conduct, &mut now, 12, 10_000).is_empty());
        assert!(pauses(&mut conduct, &mut now, 0, 8).is_empty(), "a few are nothing");
        let mut cheap = of(80).0;
        for _ in 0..100_000 {
            now += MS;
            assert_eq!(cheap.failed(now, MS / 25), None, "traps that cost next to nothing");
            assert_eq!(cheap.lost(now, MS / 25), None);
        }
    }

    #[test]
    fn an_entry_whose_instances_are_dear_and_die_at_once_is_made_less_and_less_often() {
        let (mut conduct, start) = of(80);
        let (mut now, mut made) = (start, 0);
        while now < start + Duration::from_secs(300) {
            now += 1000 * MS;
            if conduct.makes_paused(now).is_none() {
                made += 1;
                conduct.lost(now, 1000 * MS);
            }
        }
        assert!((8..20).contains(&made), "{made} in five minutes");
        assert_eq!(conduct.paused(now), None, "what is there is called");
    }
}
