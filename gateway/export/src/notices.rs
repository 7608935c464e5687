//! What the log says of exports: the first failure at once, then a summary now and again, then that it is over. A collector
//! that comes and goes gets no more lines than one that is away.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::counters::{Counters, DropReason};

/// How long nothing more is said of failures.
const QUIET: Duration = Duration::from_secs(60);

/// What was said, and what has come together since.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// Since when every request has failed.
    failing_since: Option<Instant>,
    /// Whether the log knows of that.
    is_known: bool,
    quiet_until: Option<Instant>,
    tries: u64,
    /// What had been dropped when something was said last.
    dropped_before: u64,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Requests fail: for how long, how many in that time and how many items were dropped meanwhile.
    Failing { since: Duration, tries: u64, dropped: u64 },
    /// Requests succeed again.
    Recovered { after: Duration, tries: u64, dropped: u64 },
    /// The collector answers, but more is made than it takes, or it does not take all of what it gets.
    Dropping { dropped: u64 },
}

impl Notices {
    /// A request failed.
    pub(crate) fn failed(&mut self, now: Instant, counters: &Counters) -> Option<Notice> {
        let since = *self.failing_since.get_or_insert(now);
        self.tries += 1;
        if self.is_quiet(now) {
            return None;
        }
        self.is_known = true;
        self.quiet_until = Some(now + QUIET);
        Some(Notice::Failing {
            since: now - since,
            tries: std::mem::take(&mut self.tries),
            dropped: self.newly_dropped(counters),
        })
    }

    /// A request succeeded.
    pub(crate) fn succeeded(&mut self, now: Instant, counters: &Counters) -> Option<Notice> {
        let since = self.failing_since.take();
        let tries = std::mem::take(&mut self.tries);
        if std::mem::take(&mut self.is_known)
            && let Some(since) = since
        {
            return Some(Notice::Recovered { after: now - since, tries, dropped: self.newly_dropped(counters) });
        }
        if self.is_quiet(now) || lost(counters) == self.dropped_before {
            return None;
        }
        self.quiet_until = Some(now + QUIET);
        Some(Notice::Dropping { dropped: self.newly_dropped(counters) })
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }

    fn newly_dropped(&mut self, counters: &Counters) -> u64 {
        let dropped = lost(counters);
        dropped - std::mem::replace(&mut self.dropped_before, dropped)
    }
}

/// What is lost for good.
fn lost(counters: &Counters) -> u64 {
    counters.dropped_in_all() - counters.dropped(DropReason::Superseded)
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing { since, tries, dropped } if since.is_zero() && *tries == 1 && *dropped == 0 => {
                formatter.write_str("the collector can't be exported to; tried again with growing pauses")
            }
            Self::Failing { since, tries, dropped } => {
                let seconds = since.as_secs();
                write!(
                    formatter,
                    "the collector can't be exported to, for {seconds} s now: {tries} tries and {dropped} items dropped since \
                     this was last said"
                )
            }
            Self::Recovered { after, tries, dropped } => {
                let seconds = after.as_secs();
                write!(
                    formatter,
                    "the collector takes exports again after {seconds} s: {tries} tries and {dropped} items dropped since this \
                     was last said"
                )
            }
            Self::Dropping { dropped } => write!(
                formatter,
                "{dropped} items were dropped: more is made than the queue holds, or the collector rejects some of it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Notice, Notices};
    use crate::counters::{Counters, DropReason};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_failure_is_said_then_a_summary_then_the_end() {
        let (mut notices, counters, start) = (Notices::default(), Counters::default(), Instant::now());
        let first = Notice::Failing { since: Duration::ZERO, tries: 1, dropped: 0 };
        assert_eq!(notices.failed(start, &counters), Some(first));
        counters.add_dropped(DropReason::QueueFull, 7);
        for second in 1..60 {
            assert_eq!(notices.failed(start + seconds(second), &counters), None);
        }
        let summary = Notice::Failing { since: seconds(60), tries: 60, dropped: 7 };
        assert_eq!(notices.failed(start + seconds(60), &counters), Some(summary));
        let over = Notice::Recovered { after: seconds(70), tries: 0, dropped: 0 };
        assert_eq!(notices.succeeded(start + seconds(70), &counters), Some(over));
        assert_eq!(notices.succeeded(start + seconds(71), &counters), None);
    }

    #[test]
    fn one_that_comes_and_goes_gets_two_lines_a_minute() {
        let (mut notices, counters, start) = (Notices::default(), Counters::default(), Instant::now());
        let mut lines = 0;
        for second in 0..600 {
            let now = start + seconds(second);
            let said = if second % 2 == 0 { notices.failed(now, &counters) } else { notices.succeeded(now, &counters) };
            lines += usize::from(said.is_some());
        }
        assert_eq!(lines, 20);
    }

    #[test]
    fn what_is_dropped_while_the_collector_answers_is_said_once_a_minute() {
        let (mut notices, counters, start) = (Notices::default(), Counters::default(), Instant::now());
        assert_eq!(notices.succeeded(start, &counters), None);
        counters.add_dropped(DropReason::Rejected, 3);
        assert_eq!(notices.succeeded(start, &counters), Some(Notice::Dropping { dropped: 3 }));
        counters.add_dropped(DropReason::Rejected, 2);
        assert_eq!(notices.succeeded(start + seconds(59), &counters), None);
        assert_eq!(notices.succeeded(start + seconds(60), &counters), Some(Notice::Dropping { dropped: 2 }));
    }

    #[test]
    fn superseded_metrics_are_no_loss() {
        let (mut notices, counters) = (Notices::default(), Counters::default());
        counters.add_dropped(DropReason::Superseded, 3);
        assert_eq!(notices.succeeded(Instant::now(), &counters), None);
    }
}
