//! When to try again, by OTLP's rules ("Throttling", "Failures", <https://opentelemetry.io/docs/specs/otlp/>): pauses that
//! double, each drawn anew, so that gateways that lost the same collector at the same moment don't come back at the same
//! moment. What failed before counts for the next batch as well: while the collector is away it is asked once a pause, by
//! one request at a time, however much waits.

use std::time::Duration;

/// How long to pause after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// The longest pause after the first failure. Later ones may be twice as long as the one before.
    pub initial: Duration,
    /// The longest pause at all.
    pub max: Duration,
    /// How long one batch is tried. Whatever comes afterwards gets its turn then: it might be this batch alone that the
    /// collector can't take.
    pub give_up_after: Duration,
}

impl Default for RetrySettings {
    /// Those of the OpenTelemetry Collector's own exporters, with a shorter first pause.
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(30), give_up_after: Duration::from_secs(300) }
    }
}

/// The longest pause that a collector may ask for. One that asks for more is asked again earlier.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Failures in a row, and the pause that follows.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: RetrySettings,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(settings: RetrySettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// The collector has answered.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure. `asked` is what the collector said itself (`Retry-After`, `RetryInfo`): no less
    /// than that, and something on top, for it said the same to everybody. `random` is between 0 and 1.
    pub(crate) fn failed(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let doubled = 2u32.saturating_pow(self.failures);
        let longest = self.settings.initial.saturating_mul(doubled).min(self.settings.max);
        self.failures = self.failures.saturating_add(1);
        asked.unwrap_or_default().min(LONGEST_ASKED) + longest.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LONGEST_ASKED, RetrySettings};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(RetrySettings::default());
        let longest: Vec<_> = (0..7).map(|_| backoff.failed(None, 1.0)).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30].map(seconds));
        backoff.succeeded();
        assert_eq!(backoff.failed(None, 1.0), seconds(1));
    }

    #[test]
    fn a_pause_is_any_part_of_the_longest() {
        let mut backoff = Backoff::new(RetrySettings::default());
        assert_eq!(backoff.failed(None, 0.0), Duration::ZERO);
        assert_eq!(backoff.failed(None, 0.25), Duration::from_millis(500));
    }

    #[test]
    fn what_the_collector_asks_for_is_the_least_within_reason() {
        let mut backoff = Backoff::new(RetrySettings::default());
        assert_eq!(backoff.failed(Some(seconds(10)), 0.0), seconds(10));
        assert_eq!(backoff.failed(Some(seconds(10)), 1.0), seconds(12));
        assert_eq!(backoff.failed(Some(Duration::MAX), 0.0), LONGEST_ASKED);
    }

    #[test]
    fn failures_without_end_overflow_nothing() {
        let mut backoff = Backoff { settings: RetrySettings::default(), failures: u32::MAX };
        assert_eq!(backoff.failed(None, 1.0), seconds(30));
    }
}
