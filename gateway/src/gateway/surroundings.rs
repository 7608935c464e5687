//! What of the machine an operator should hear of, because the gateway works with it all the same: cores, descriptors, the
//! clock.

use std::time::{Duration, Instant, SystemTime};

use crate::model::Config;

/// A clock that is set by less is a clock that is kept right.
const JUMP: Duration = Duration::from_secs(5);

/// Below this many descriptors a gateway is full with a few thousand clients.
const FEW_DESCRIPTORS: u64 = 10_000;

/// Says what the process has to work with. `descriptors` is its limit; `None` is "unlimited".
pub(super) fn tell(config: &Config, descriptors: Option<u64>) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (workers, version) = (config.workers, env!("CARGO_PKG_VERSION"));
    if workers > cores {
        tracing::warn!(%version, workers, cores, "there are more workers than cores; they wait for each other");
    } else {
        tracing::info!(%version, workers, cores, "starting");
    }
    let wanted = config.listeners.iter().map(|listener| listener.limits.connections).sum::<usize>();
    match descriptors {
        Some(limit) if limit < FEW_DESCRIPTORS.min(wanted as u64) => tracing::warn!(
            limit,
            "file descriptor limit: the system lets this process have fewer than its listeners' connections need; raise it \
             (LimitNOFILE of the unit, ulimit -n)"
        ),
        limit => tracing::debug!(limit, "file descriptor limit"),
    }
}

/// Notices when the machine's clock is set: dates in logs, tokens and certificates depend on it.
pub(super) struct Clock {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clock {
    /// From now on.
    pub(super) fn new() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// To be called every now and then.
    pub(super) fn look(&mut self) {
        let now = Self::new();
        if let Some((by, direction)) = self.jump(&now) {
            tracing::warn!(
                ?by,
                "the machine's clock was set {direction}; tokens and certificates are judged by the new time"
            );
        }
        *self = now;
    }

    /// By how much more or less the clock went on than time did.
    fn jump(&self, now: &Self) -> Option<(Duration, &'static str)> {
        let expected = self.wall + now.monotonic.saturating_duration_since(self.monotonic);
        let (by, direction) = match now.wall.duration_since(expected) {
            Ok(by) => (by, "forward"),
            Err(error) => (error.duration(), "back"),
        };
        (by >= JUMP).then_some((by, direction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_is_kept_right_is_not() {
        let clock = Clock::new();
        let later = |wall: i64| {
            let went = Duration::from_secs(30);
            let wall = if wall < 0 {
                clock.wall + went - Duration::from_secs(wall.unsigned_abs())
            } else {
                clock.wall + went + Duration::from_secs(wall.unsigned_abs())
            };
            Clock { monotonic: clock.monotonic + went, wall }
        };
        for (by, noticed) in [(0, None), (4, None), (-4, None), (60, Some("forward")), (-3600, Some("back"))] {
            assert_eq!(clock.jump(&later(by)).map(|(_, direction)| direction), noticed, "{by}");
        }
    }
}
