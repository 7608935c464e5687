//! Passive health, with the semantics of NGINX's `max_fails` and `fail_timeout`, kept in atomics because all workers
//! share it. Pure: the time comes from outside.
//!
//! - `max_failures` failures take the endpoint out. A success forgets them, if its request was sent when the last one
//!   was more than `fail_timeout` ago.
//! - It is left out for `fail_timeout`; then one request per `fail_timeout` tries it, and its success brings the
//!   endpoint back.
//! - `max_failures: 0` switches the count off, and so does being the only endpoint of an upstream.
//! - When every endpoint is out, all of them are put back and tried: an answer that may come is better than an error
//!   that must.
//!
//! A failure is what NGINX's `proxy_next_upstream error timeout invalid_header` means: no connection, no valid
//! response head, or none in time. What happens after the head counts neither way, and neither does a cancelled
//! request.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::PassiveHealth;

/// Health of one endpoint. Times are milliseconds since an epoch of the caller's.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: AtomicU32,
    /// When the last failure was seen.
    accessed: AtomicU64,
    /// When the endpoint was last tried in earnest: the start of the current window.
    checked: AtomicU64,
    /// When it was left out, plus one; 0 while it isn't.
    left: AtomicU64,
    /// When its leaving was last told, plus one.
    told: AtomicU64,
    /// Its return is to be told, as its leaving was.
    announced: AtomicBool,
}

/// The shortest time between two times that the leaving of one endpoint is told: who comes back and fails again and again
/// must not fill the log.
const QUIET: u64 = 1_000;

impl Health {
    /// Whether the endpoint may be chosen.
    pub(super) fn available(&self, policy: &PassiveHealth, now: impl FnOnce() -> u64) -> bool {
        let failures = self.failures.load(Relaxed);
        failures == 0
            || policy.max_failures == 0
            || failures < policy.max_failures
            || now().saturating_sub(self.checked.load(Relaxed)) > millis(policy.fail_timeout)
    }

    /// The endpoint was chosen. The first to choose it after the window starts a new one, so that others wait for
    /// how this request fares.
    pub(super) fn chosen(&self, policy: &PassiveHealth, now: impl FnOnce() -> u64) {
        if self.failures.load(Relaxed) == 0 {
            return;
        }
        let now = now();
        let checked = self.checked.load(Relaxed);
        if now.saturating_sub(checked) > millis(policy.fail_timeout) {
            // Who loses the exchange was overtaken by another worker's probe; one more probe does no harm.
            let _ = self.checked.compare_exchange(checked, now, Relaxed, Relaxed);
        }
    }

    /// A response head came. Gives the milliseconds that it was out, where that ends by this and is to be told.
    pub(super) fn succeeded(&self, now: impl FnOnce() -> u64) -> Option<u64> {
        // Only a success within a window that began after the last failure says that the endpoint has recovered.
        if self.failures.load(Relaxed) != 0 && self.accessed.load(Relaxed) < self.checked.load(Relaxed) {
            self.failures.store(0, Relaxed);
            return self.returned(now);
        }
        None
    }

    /// No connection, no valid head, or none in time. True where it is left out, and that is to be told now.
    pub(super) fn failed(&self, policy: &PassiveHealth, now: u64) -> bool {
        let before = self.failures.fetch_update(Relaxed, Relaxed, |count| count.checked_add(1));
        self.accessed.store(now, Relaxed);
        self.checked.store(now, Relaxed);
        let leaves = before.is_ok_and(|before| before.saturating_add(1) == policy.max_failures);
        if leaves {
            self.left.store(now + 1, Relaxed);
        } else if self.left.load(Relaxed) == 0 || self.announced.load(Relaxed) {
            return false;
        }
        // Also of one that left too soon after it had come back to be told of, once it is seen to stay out.
        let told = self.told.load(Relaxed);
        let tell = told == 0 || now.saturating_sub(told - 1) >= QUIET;
        if tell {
            self.told.store(now + 1, Relaxed);
            self.announced.store(true, Relaxed);
        }
        tell
    }

    /// Forgets all failures. Gives the milliseconds that it was out, as [`Health::succeeded`] does.
    pub(super) fn reset(&self, now: impl FnOnce() -> u64) -> Option<u64> {
        self.failures.store(0, Relaxed);
        self.returned(now)
    }

    fn returned(&self, now: impl FnOnce() -> u64) -> Option<u64> {
        if self.left.load(Relaxed) == 0 {
            return None;
        }
        let left = self.left.swap(0, Relaxed);
        (left > 0 && self.announced.swap(false, Relaxed)).then(|| now().saturating_sub(left - 1))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_failures: u32) -> PassiveHealth {
        PassiveHealth { max_failures, fail_timeout: Duration::from_secs(30) }
    }

    #[test]
    fn is_out_after_max_failures_and_probed_once_per_window() {
        let (health, policy) = (Health::default(), policy(3));
        for at in [1_000, 2_000] {
            health.failed(&policy, at);
            assert!(health.available(&policy, || at));
        }
        assert!(health.failed(&policy, 3_000), "it leaves");
        assert!(!health.available(&policy, || 3_000));
        assert!(!health.available(&policy, || 33_000));
        assert!(health.available(&policy, || 33_001));
        health.chosen(&policy, || 33_001);
        assert!(!health.available(&policy, || 33_002), "one probe at a time");
        assert_eq!(health.succeeded(|| 33_003), Some(30_003), "it is back");
        assert_eq!(health.succeeded(|| 33_004), None, "told once");
        assert!(health.available(&policy, || 33_003));
    }

    #[test]
    fn success_in_the_window_of_a_failure_does_not_clear_it() {
        let (health, policy) = (Health::default(), policy(2));
        health.failed(&policy, 1_000);
        health.chosen(&policy, || 1_001);
        health.succeeded(|| 0);
        health.failed(&policy, 1_002);
        assert!(!health.available(&policy, || 1_003));
    }

    #[test]
    fn old_failures_are_forgotten_by_a_later_success() {
        let (health, policy) = (Health::default(), policy(2));
        health.failed(&policy, 1_000);
        health.chosen(&policy, || 40_000);
        health.succeeded(|| 0);
        health.failed(&policy, 40_001);
        assert!(health.available(&policy, || 40_002));
    }

    #[test]
    fn zero_switches_it_off_and_reset_forgets() {
        let health = Health::default();
        (0..10).for_each(|at| {
            health.failed(&policy(3), at);
        });
        assert!(health.available(&policy(0), || 10));
        assert!(!health.available(&policy(3), || 10));
        health.reset(|| 0);
        assert!(health.available(&policy(3), || 10));
    }

    #[test]
    fn an_endpoint_that_leaves_again_at_once_and_stays_out_is_told_of_a_little_later() {
        let (health, policy) = (Health::default(), PassiveHealth { max_failures: 1, ..policy(1) });
        assert!(health.failed(&policy, 0));
        assert_eq!(health.reset(|| 100), Some(100), "all are out, so all are tried again");
        assert!(!health.failed(&policy, 300), "told of a moment ago");
        assert!(health.failed(&policy, 30_400), "the probe finds it as it was");
        assert!(!health.failed(&policy, 60_500), "told once");
        assert!(health.reset(|| 61_000).is_some());
    }

    #[test]
    fn an_endpoint_that_comes_and_goes_without_a_break_is_told_of_once_a_second() {
        let (health, policy) = (Health::default(), PassiveHealth { max_failures: 1, fail_timeout: Duration::ZERO });
        let mut told = 0;
        for at in (0..10_000).step_by(10) {
            told += usize::from(health.failed(&policy, at));
            health.chosen(&policy, || at + 5);
            told += usize::from(health.succeeded(|| at + 6).is_some());
        }
        assert_eq!(told, 20, "ten times that it left, and ten that it came back");
    }
}
