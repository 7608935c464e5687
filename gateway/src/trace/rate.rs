//! A limit on how often something may happen, with the time passed in.

use std::time::{Duration, Instant};

/// Lets so many through per second, in bursts of up to a second's (the generic cell rate algorithm).
#[derive(Clone, Debug)]
pub struct Rate {
    /// From one to the next; `None` lets nothing through.
    interval: Option<Duration>,
    /// When what was let through would have been spread out evenly.
    spread: Option<Instant>,
}

impl Rate {
    /// How far ahead of an even spread it may be.
    const BURST: Duration = Duration::from_secs(1);

    /// So many per second, of which this is the share of one among so many.
    pub fn share(per_second: u32, of: usize) -> Self {
        let of = u32::try_from(of.max(1)).unwrap_or(u32::MAX);
        let interval = Duration::from_secs(u64::from(of)).checked_div(per_second);
        Self { interval, spread: None }
    }

    /// Whether one more may pass at this moment.
    pub fn admit(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        let spread = self.spread.map_or(now, |spread| spread.max(now));
        let ahead = spread - now;
        // The first one always, however long the interval is.
        if !ahead.is_zero() && ahead + interval > Self::BURST {
            return false;
        }
        self.spread = Some(spread + interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_an_even_flow() {
        let start = Instant::now();
        let mut rate = Rate::share(10, 1);
        assert_eq!((0..100).filter(|_| rate.admit(start)).count(), 10);
        let later = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(!rate.admit(later(99)) && rate.admit(later(100)) && !rate.admit(later(101)));
        assert_eq!((0..100).filter(|_| rate.admit(later(60_000))).count(), 10);
    }

    #[test]
    fn shares_are_of_the_whole_and_nothing_is_nothing() {
        let start = Instant::now();
        let mut none = Rate::share(0, 4);
        assert!(!none.admit(start));
        let mut slow = Rate::share(1, 4);
        assert!(slow.admit(start) && !slow.admit(start + Duration::from_millis(3_999)));
        assert!(slow.admit(start + Duration::from_secs(4)));
    }

    proptest! {
        #[test]
        fn never_more_than_a_burst_and_the_flow(
            per_second in 0..50_u32,
            of in 1..9_usize,
            steps in proptest::collection::vec(0..200_u64, 0..400),
        ) {
            let start = Instant::now();
            let (mut rate, mut now, mut passed) = (Rate::share(per_second, of), start, 0_f64);
            for step in steps {
                now += Duration::from_millis(step);
                passed += f64::from(u8::from(rate.admit(now)));
            }
            let share = f64::from(per_second) / of as f64;
            prop_assert!(passed <= (now - start).as_secs_f64() * share + share.max(1.0) + 1.0, "{} passed", passed);
        }
    }
}
