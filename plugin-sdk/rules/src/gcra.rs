//! `counters.take`: the generic cell rate algorithm, one number per bucket and no refill timer. Time is nanoseconds passed
//! in.
//!
//! The number is the theoretical arrival time (TAT): the moment at which the bucket is full again. A request of cost
//! `c` moves it by `c` intervals, and is allowed as long as it does not come to lie more than `burst` intervals ahead.

use smallvec::SmallVec;

/// Claims of one call, at most.
pub const MAX_CLAIMS: usize = 64;

/// How much a bucket holds and how fast it fills again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What a full bucket holds.
    pub burst: u32,
    /// Refill. Zero or less, or not a number: never.
    pub per_second: f64,
}

/// The answer for one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether this bucket held enough. A cost is taken only when every claim of the call is allowed.
    pub allowed: bool,
    /// What the bucket holds now.
    pub remaining: u32,
    /// How long until it would hold enough; 0 when allowed, `u32::MAX` when it never will.
    pub retry_after_ms: u32,
    /// How long until it is full.
    pub reset_after_ms: u32,
}

/// The state of one bucket: its TAT in nanoseconds. 0 is a full bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tat(u128);

impl Rate {
    /// Nanoseconds per unit, rounded up so that rounding never admits more than the rate.
    fn interval(self) -> u128 {
        if self.per_second > 0.0 {
            // A float to integer cast saturates; 584 years are "never".
            u128::from(((1e9 / self.per_second).ceil() as u64).max(1))
        } else {
            u128::from(u64::MAX)
        }
    }
}

impl Tat {
    /// Takes `cost` if the bucket holds it.
    pub fn take(&mut self, rate: Rate, cost: u32, now: u64) -> Decision {
        let (now, interval) = (u128::from(now), rate.interval());
        let capacity = interval * u128::from(rate.burst);
        let base = self.0.max(now);
        let after = base + interval * u128::from(cost);
        let allowed = after - now <= capacity;
        if allowed {
            self.0 = after;
        }
        let debt = self.0.max(now) - now;
        Decision {
            allowed,
            remaining: u32::try_from(capacity.saturating_sub(debt) / interval).unwrap_or(u32::MAX),
            retry_after_ms: match allowed {
                true => 0,
                false if cost > rate.burst => u32::MAX,
                false => millis(after - now - capacity),
            },
            reset_after_ms: millis(debt),
        }
    }

    /// The millisecond from which the bucket is full, so that forgetting it changes nothing.
    pub fn full_at_ms(self) -> u64 {
        u64::try_from(self.0.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// One cost from one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// The bucket's place among those of the call.
    pub place: usize,
    /// What to take; 0 only looks.
    pub cost: u32,
    /// Its size and refill. A bucket keeps what was taken from it when its rate changes.
    pub rate: Rate,
}

/// Takes every cost, or none where one bucket holds less: then the decisions tell what the buckets hold as they are. The
/// same bucket twice counts twice.
///
/// # Panics
/// Where a claim's place is not one of `buckets`.
pub fn take_all(buckets: &mut [Tat], claims: impl Iterator<Item = Claim> + Clone, now: u64) -> Vec<Decision> {
    let before: SmallVec<[Tat; 4]> = SmallVec::from_slice(buckets);
    let take = |Claim { place, cost, rate }| buckets[place].take(rate, cost, now);
    let mut decisions: Vec<_> = claims.clone().map(take).collect();
    if !decisions.iter().all(|decision| decision.allowed) {
        buckets.copy_from_slice(&before);
        for (decision, Claim { place, rate, .. }) in decisions.iter_mut().zip(claims) {
            let mut untouched = before[place];
            let untouched = untouched.take(rate, 0, now);
            decision.remaining = untouched.remaining;
            decision.reset_after_ms = untouched.reset_after_ms;
        }
    }
    decisions
}

/// Rounded up: who waits this long waits long enough.
fn millis(nanos: u128) -> u32 {
    u32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_refills_at_the_rate() {
        let rate = Rate { burst: 3, per_second: 2.0 };
        let mut tat = Tat::default();
        let start = 5 * SECOND;
        for remaining in [2, 1, 0] {
            let decision = tat.take(rate, 1, start);
            assert!(decision.allowed);
            assert_eq!(decision.remaining, remaining);
        }
        let refused = tat.take(rate, 1, start);
        assert_eq!(refused, Decision { allowed: false, remaining: 0, retry_after_ms: 500, reset_after_ms: 1500 });
        assert!(!tat.take(rate, 1, start + 499_999_999).allowed);
        assert!(tat.take(rate, 1, start + 500_000_000).allowed);
    }

    #[test]
    fn a_cost_above_the_burst_is_never_allowed() {
        let decision = Tat::default().take(Rate { burst: 3, per_second: 2.0 }, 4, 0);
        assert_eq!(decision, Decision { allowed: false, remaining: 3, retry_after_ms: u32::MAX, reset_after_ms: 0 });
    }

    #[test]
    fn a_rate_of_zero_never_refills_and_a_silly_one_does_not_panic() {
        for per_second in [0.0, -1.0, f64::NAN] {
            let (mut tat, rate) = (Tat::default(), Rate { burst: 1, per_second });
            assert!(tat.take(rate, 1, 0).allowed);
            assert!(!tat.take(rate, 1, 10_000 * SECOND).allowed);
        }
        for per_second in [f64::MIN_POSITIVE, f64::MAX, f64::INFINITY] {
            Tat::default().take(Rate { burst: u32::MAX, per_second }, u32::MAX, u64::MAX);
        }
    }

    #[test]
    fn one_empty_bucket_refuses_the_claims_on_all() {
        let claim = |place, cost, burst| Claim { place, cost, rate: Rate { burst, per_second: 1.0 } };
        let mut buckets = [Tat::default(); 2];
        let both = [claim(0, 1, 1), claim(1, 1, 10)];
        assert!(take_all(&mut buckets, both.into_iter(), 0).iter().all(|decision| decision.allowed));
        let before = buckets;
        let refused = take_all(&mut buckets, both.into_iter(), 0);
        assert_eq!((refused[0].allowed, refused[1].allowed, refused[1].remaining), (false, true, 9));
        assert_eq!(buckets, before, "nothing may be taken from the other");
        let twice = [claim(1, 5, 10), claim(1, 5, 10)];
        let refused = take_all(&mut buckets, twice.into_iter(), 0);
        assert_eq!((refused[0].remaining, refused[1].remaining), (9, 9), "the same bucket twice counts twice");
    }

    proptest! {
        /// Over any window between two takes: no more than burst + rate * length of the window.
        #[test]
        fn never_admits_more_than_burst_plus_rate(
            burst in 1u32..20,
            per_second in 0.1f64..5000.0,
            steps in prop::collection::vec((0u64..SECOND, 0u32..5), 1..120),
        ) {
            let rate = Rate { burst, per_second };
            let (mut tat, mut now, mut admitted) = (Tat::default(), 7 * SECOND, Vec::new());
            for (wait, cost) in steps {
                now += wait;
                if tat.take(rate, cost, now).allowed {
                    admitted.push((now, cost));
                }
            }
            for (first, (start, _)) in admitted.iter().enumerate() {
                let mut sum = 0f64;
                for (at, cost) in &admitted[first..] {
                    sum += f64::from(*cost);
                    let limit = f64::from(burst) + per_second * (at - start) as f64 / 1e9;
                    prop_assert!(sum <= limit + 1e-6, "{sum} admitted where {limit} may be");
                }
            }
        }

        /// What `retry_after_ms` promises holds, and half of it would not have been enough.
        #[test]
        fn retry_after_is_long_enough_and_not_longer(
            burst in 1u32..20, per_second in 0.5f64..500.0, cost in 1u32..20, taken in 1u32..20,
        ) {
            let rate = Rate { burst, per_second };
            let mut tat = Tat::default();
            for _ in 0..taken {
                tat.take(rate, 1, SECOND);
            }
            let decision = tat.take(rate, cost, SECOND);
            prop_assume!(!decision.allowed && decision.retry_after_ms != u32::MAX);
            let wait = u64::from(decision.retry_after_ms) * 1_000_000;
            let (mut early, mut then) = (tat, tat);
            prop_assert!(then.take(rate, cost, SECOND + wait).allowed);
            prop_assert!(!early.take(rate, cost, SECOND + wait - 1_000_000).allowed);
        }
    }
}
