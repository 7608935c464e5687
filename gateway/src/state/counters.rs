//! Rate buckets and sliding sums (what they do is in `plugin_rules`), exact over all workers: a bucket is a number under a lock of its own, and a take
//! over several buckets locks them in the order of their names.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_rules::gcra::{self, Decision, Rate, Tat};
use plugin_rules::window::Window;
use smallvec::SmallVec;

use super::bounded::{Bounded, Change, Item};

/// One cost from one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// What to take; 0 only looks.
    pub cost: u32,
    /// Its size and refill. A bucket keeps what was taken from it when its rate changes.
    pub rate: Rate,
}

struct Bucket {
    tat: Mutex<Tat>,
    /// A copy of the moment at which it is full, readable without the lock. It only grows.
    full_at: AtomicU64,
}

impl Item for Arc<Bucket> {
    fn expires(&self) -> u64 {
        self.full_at.load(Ordering::Relaxed)
    }

    fn weight(&self) -> usize {
        // With the two counts of the handle.
        size_of::<Bucket>() + 2 * size_of::<usize>()
    }

    /// The one that is full soonest: forgetting it gives away least.
    fn worth(&self, _used: u64) -> u64 {
        self.expires()
    }

    /// Handles are given out under the map's lock: where this is the only one, nobody is about to take from the bucket,
    /// so no take is ever lost on one that has left the map.
    fn idle(&self) -> bool {
        let only = Arc::strong_count(self) == 1;
        // Pairs with the release of the last other handle: its `full_at` is seen.
        fence(Ordering::Acquire);
        only
    }
}

/// The buckets of one namespace.
pub(super) struct Buckets(Bounded<Arc<Bucket>>);

impl Buckets {
    pub(super) fn new(max: usize, max_bytes: usize) -> Self {
        Self(Bounded::new(max, max_bytes))
    }

    pub(super) fn take(&self, claims: &[Claim<'_>], now_ns: u64) -> Vec<Decision> {
        let mut order: SmallVec<[&str; 4]> = claims.iter().map(|claim| claim.bucket).collect();
        order.sort_unstable();
        order.dedup();
        let now_ms = now_ns / 1_000_000;
        let found: SmallVec<[Arc<Bucket>; 4]> = order.iter().map(|name| self.find(name, now_ms)).collect();
        // No lock of the map is held from here on, and these are taken in one order by everybody: no deadlock.
        let mut locked: SmallVec<[MutexGuard<'_, Tat>; 4]> =
            found.iter().map(|bucket| bucket.tat.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let mut tats: SmallVec<[Tat; 4]> = locked.iter().map(|guard| **guard).collect();

        let claims = claims.iter().map(|claim| gcra::Claim {
            // `order` holds every bucket of `claims`.
            place: order.partition_point(|name| *name < claim.bucket),
            cost: claim.cost,
            rate: claim.rate,
        });
        let decisions = gcra::take_all(&mut tats, claims, now_ns);
        if decisions.iter().all(|decision| decision.allowed) {
            for ((guard, bucket), tat) in locked.iter_mut().zip(&found).zip(tats) {
                **guard = tat;
                bucket.full_at.fetch_max(tat.full_at_ms(), Ordering::Relaxed);
            }
        }
        decisions
    }

    fn find(&self, name: &str, now_ms: u64) -> Arc<Bucket> {
        // One that counts as expired (it is full) may be in somebody's hands, so that very one is handed out again.
        self.0.get_or_insert(name, now_ms, || {
            Arc::new(Bucket { tat: Mutex::new(Tat::default()), full_at: AtomicU64::new(now_ms) })
        })
    }

    pub(super) fn sweep(&self, now_ms: u64) {
        self.0.sweep(now_ms);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Item for Window {
    fn expires(&self) -> u64 {
        self.ends_ms()
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
    }

    fn worth(&self, used: u64) -> u64 {
        used
    }
}

/// The sliding sums of one namespace.
pub(super) struct Windows(Bounded<Window>);

impl Windows {
    pub(super) fn new(max: usize, max_bytes: usize) -> Self {
        Self(Bounded::new(max, max_bytes))
    }

    pub(super) fn add(&self, key: &str, delta: i64, window_ms: u64, now_ms: u64) -> i64 {
        self.0.update(key, now_ms, |window| match window {
            Some(window) if window.is_of(window_ms) => (Change::Keep, window.add(delta, now_ms)),
            // New, expired, or of another length than before: start over.
            _ => {
                let mut window = Window::new(window_ms, now_ms);
                let sum = window.add(delta, now_ms);
                (Change::Put(window), sum)
            }
        })
    }

    pub(super) fn sweep(&self, now_ms: u64) {
        self.0.sweep(now_ms);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const BYTES: usize = 64 << 20;

    fn claim(bucket: &str, cost: u32, burst: u32) -> Claim<'_> {
        Claim { bucket, cost, rate: Rate { burst, per_second: 1.0 } }
    }

    #[test]
    fn one_empty_bucket_refuses_the_claims_on_all() {
        let buckets = Buckets::new(100, BYTES);
        let both = [claim("small", 1, 1), claim("large", 1, 10)];
        assert!(buckets.take(&both, 0).iter().all(|decision| decision.allowed));

        let refused = buckets.take(&both, 0);
        assert_eq!((refused[0].allowed, refused[1].allowed), (false, true));
        assert_eq!(refused[1].remaining, 9, "nothing may be taken from the other");
        assert_eq!(buckets.take(&[claim("large", 0, 10)], 0)[0].remaining, 9);
    }

    #[test]
    fn the_same_bucket_twice_in_one_call_counts_twice() {
        let buckets = Buckets::new(100, BYTES);
        let twice = [claim("a", 2, 3), claim("a", 2, 3)];
        assert!(!buckets.take(&twice, 0)[1].allowed);
        assert_eq!(buckets.take(&[claim("a", 0, 3)], 0)[0].remaining, 3);
    }

    #[test]
    fn full_buckets_vanish() {
        let buckets = Buckets::new(1_000_000, BYTES);
        for n in 0..5_000u64 {
            // Each is full again after a second, and a millisecond passes between two.
            buckets.take(&[claim(&n.to_string(), 1, 5)], n * MS);
        }
        assert!(buckets.len() < 3_000, "{} buckets", buckets.len());
        buckets.sweep(7_000);
        assert_eq!(buckets.len(), 0);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let buckets = Buckets::new(100, BYTES);
        for n in 0..1_000 {
            buckets.take(&[claim(&n.to_string(), 1, 5)], 0);
        }
        assert!(buckets.len() <= 100);
    }

    #[test]
    fn the_bytes_of_counters_are_bounded() {
        let long = "x".repeat(1000);
        let (buckets, windows) = (Buckets::new(1_000_000, 64 << 10), Windows::new(1_000_000, 64 << 10));
        for n in 0..1_000 {
            let name = format!("{n}{long}");
            buckets.take(&[claim(&name, 1, 5)], 0);
            windows.add(&name, 1, 1_600, 0);
        }
        for (kind, kept) in [("buckets", buckets.len()), ("windows", windows.len())] {
            assert!((40..65).contains(&kept), "{kept} {kind} in 64 KiB");
        }
    }

    #[test]
    fn takes_from_many_threads_are_exact() {
        let buckets = Buckets::new(1_000, BYTES);
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (buckets, admitted) = (&buckets, &admitted);
                scope.spawn(move || {
                    for round in 0..2_000 {
                        // Opposite orders, to provoke a deadlock; and churn that drops full buckets.
                        let mut claims = [claim("one", 1, 3_000), claim("two", 1, 5_000)];
                        if thread % 2 == 0 {
                            claims.reverse();
                        }
                        let allowed = buckets.take(&claims, 0).iter().all(|decision| decision.allowed);
                        admitted.fetch_add(u64::from(allowed), Ordering::Relaxed);
                        buckets.take(&[claim(&format!("{thread}/{round}"), 0, 1)], 0);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 3_000);
        assert_eq!(buckets.take(&[claim("two", 0, 5_000)], 0)[0].remaining, 2_000);
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let windows = Windows::new(10, BYTES);
        assert_eq!(windows.add("k", 5, 1_600, 0), 5);
        assert_eq!(windows.add("k", 2, 1_600, 1_000), 7);
        assert_eq!(windows.add("k", 0, 1_600, 1_599), 7);
        assert_eq!(windows.add("k", -1, 1_600, 1_600), 1);
        assert_eq!(windows.add("k", 0, 1_600, 9_000), 0);
        assert_eq!(windows.add("k", 1, 3_200, 9_000), 1, "another length starts over");
    }

    proptest! {
        /// The sum is between what lies surely inside the window and what lies within it at most.
        #[test]
        fn a_window_sums_what_it_spans(steps in prop::collection::vec((0u64..400, 1i64..10), 1..80)) {
            let windows = Windows::new(10, BYTES);
            let (mut now, mut events) = (0, Vec::new());
            for (wait, delta) in steps {
                now += wait;
                events.push((now, delta));
                let sum = windows.add("k", delta, 1_600, now);
                let within = |ms: u64| -> i64 {
                    events.iter().filter(|(at, _)| now - at < ms).map(|(_, delta)| delta).sum()
                };
                prop_assert!(within(1_500) <= sum && sum <= within(1_600), "{} {} {}", within(1_500), sum, within(1_600));
            }
        }

        /// All or nothing, whatever the claims.
        #[test]
        fn all_or_nothing(calls in prop::collection::vec(prop::collection::vec((0usize..3, 0u32..4), 1..4), 1..40)) {
            let names = ["a", "b", "c"];
            let buckets = Buckets::new(100, BYTES);
            let mut left = [6u32; 3];
            for call in calls {
                let claims: Vec<_> = call
                    .iter()
                    .map(|(at, cost)| Claim { bucket: names[*at], cost: *cost, rate: Rate { burst: 6, per_second: 0.0 } })
                    .collect();
                let mut after = left;
                let fits = call.iter().all(|(at, cost)| {
                    let enough = after[*at] >= *cost;
                    after[*at] = after[*at].saturating_sub(*cost);
                    enough
                });
                let allowed = buckets.take(&claims, 0).iter().all(|decision| decision.allowed);
                prop_assert_eq!(allowed, fits);
                if fits { left = after; }
            }
            for (at, name) in names.iter().enumerate() {
                let look = [Claim { bucket: name, cost: 0, rate: Rate { burst: 6, per_second: 0.0 } }];
                prop_assert_eq!(buckets.take(&look, 0)[0].remaining, left[at]);
            }
        }
    }
}
