//! When a receiver that is away is tried again, and for how long messages wait for it. Time is passed in.

use std::io;
use std::time::{Duration, Instant};

/// Messages wait for so long from the first failure on.
const HOLD: Duration = Duration::from_secs(5);
/// The pause after the first failure; it doubles, up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// What has failed since the last message went out.
#[derive(Debug, Default)]
pub(super) struct Outage {
    now: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    next: Instant,
    pause: Duration,
    error: io::Error,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect.
    Try,
    /// Wait for so long.
    Wait(Duration),
    /// Messages are lost.
    GiveUp,
}

impl Outage {
    /// Something failed.
    pub(super) fn failed(&mut self, now: Instant, error: io::Error) {
        let (since, pause) = match &self.now {
            Some(failing) => (failing.since, (failing.pause * 2).min(LONGEST)),
            None => (now, FIRST),
        };
        // Gateways that lost the same receiver don't come back all at once: between half of the pause and all of it.
        let next = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.now = Some(Failing { since, next, pause, error });
    }

    /// What to do with a message, where there is no connection.
    pub(super) fn next(&self, now: Instant, closing: bool) -> Next {
        match &self.now {
            None => Next::Try,
            Some(failing) if failing.next <= now => Next::Try,
            Some(failing) if closing || now.saturating_duration_since(failing.since) >= HOLD => Next::GiveUp,
            Some(failing) => Next::Wait(failing.next - now),
        }
    }

    /// What failed last.
    pub(super) fn error(&self) -> io::Error {
        match &self.now {
            // Those of the system are the same again by their number.
            Some(Failing { error, .. }) => match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            },
            None => io::ErrorKind::NotConnected.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_messages_wait_only_at_first() {
        let start = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.next(start, false), Next::Try);
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            outage.failed(now, io::ErrorKind::ConnectionRefused.into());
            let next = outage.now.as_ref().unwrap().next;
            pauses.push(next - now);
            let expected = if now - start < HOLD { Next::Wait(next - now) } else { Next::GiveUp };
            assert_eq!(outage.next(now, false), expected);
            assert_eq!(outage.next(now, true), Next::GiveUp, "a log that nobody wants any more waits for nothing");
            assert_eq!(outage.next(next, false), Next::Try);
            now = next;
        }
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST, "{pauses:?}");
        assert!(pauses[9] >= LONGEST / 2 && pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert_eq!(outage.error().kind(), io::ErrorKind::ConnectionRefused);
    }
}
