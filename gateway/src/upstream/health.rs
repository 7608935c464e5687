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

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::config::model::PassiveHealth;

/// Health of one endpoint. Times are milliseconds since an epoch of the caller's.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: AtomicU32,
    /// When the last failure was seen.
    accessed: AtomicU64,
    /// When the endpoint was last tried in earnest: the start of the current window.
    checked: AtomicU64,
}

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

    /// A response head came.
    pub(super) fn succeeded(&self) {
        // Only a success within a window that began after the last failure says that the endpoint has recovered.
        if self.failures.load(Relaxed) != 0 && self.accessed.load(Relaxed) < self.checked.load(Relaxed) {
            self.failures.store(0, Relaxed);
        }
    }

    /// No connection, no valid head, or none in time.
    pub(super) fn failed(&self, now: u64) {
        let _ = self.failures.fetch_update(Relaxed, Relaxed, |count| count.checked_add(1));
        self.accessed.store(now, Relaxed);
        self.checked.store(now, Relaxed);
    }

    /// Forgets all failures.
    pub(super) fn reset(&self) {
        self.failures.store(0, Relaxed);
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
            health.failed(at);
            assert!(health.available(&policy, || at));
        }
        health.failed(3_000);
        assert!(!health.available(&policy, || 3_000));
        assert!(!health.available(&policy, || 33_000));
        assert!(health.available(&policy, || 33_001));
        health.chosen(&policy, || 33_001);
        assert!(!health.available(&policy, || 33_002), "one probe at a time");
        health.succeeded();
        assert!(health.available(&policy, || 33_003));
    }

    #[test]
    fn success_in_the_window_of_a_failure_does_not_clear_it() {
        let (health, policy) = (Health::default(), policy(2));
        health.failed(1_000);
        health.chosen(&policy, || 1_001);
        health.succeeded();
        health.failed(1_002);
        assert!(!health.available(&policy, || 1_003));
    }

    #[test]
    fn old_failures_are_forgotten_by_a_later_success() {
        let (health, policy) = (Health::default(), policy(2));
        health.failed(1_000);
        health.chosen(&policy, || 40_000);
        health.succeeded();
        health.failed(40_001);
        assert!(health.available(&policy, || 40_002));
    }

    #[test]
    fn zero_switches_it_off_and_reset_forgets() {
        let health = Health::default();
        (0..10).for_each(|at| health.failed(at));
        assert!(health.available(&policy(0), || 10));
        assert!(!health.available(&policy(3), || 10));
        health.reset();
        assert!(health.available(&policy(3), || 10));
    }
}
