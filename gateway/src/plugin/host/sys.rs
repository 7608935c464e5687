//! Interface `sys`: log, clocks, random numbers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::level_filters::LevelFilter;

use super::HostState;
use crate::plugin::error::sanitise;
use crate::plugin::phase::Phase;
use crate::plugin::phase::bindings::edge::gateway::sys::{self, Level};

/// Longest message.
const MESSAGE: usize = 4 << 10;
/// Messages per second and entry.
const RATE: u32 = 100;
/// Most random bytes of one call.
const RANDOM: u32 = 64 << 10;

/// Bounds the log messages of one kind: by default those of one entry, over all workers.
#[derive(Debug)]
pub(crate) struct LogGate {
    per_second: u32,
    second: AtomicU64,
    count: AtomicU32,
    dropped: AtomicU64,
}

impl Default for LogGate {
    fn default() -> Self {
        Self::new(RATE)
    }
}

impl LogGate {
    /// Lets so many messages pass per second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, second: AtomicU64::new(0), count: AtomicU32::new(0), dropped: AtomicU64::new(0) }
    }

    /// The same as `admit`, at this second.
    pub(crate) fn admit_now(&self) -> Option<u64> {
        self.admit(since_epoch().as_secs())
    }

    /// Whether a message may go out at this second, and how many were dropped before it.
    fn admit(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < self.per_second {
            return Some(self.dropped.swap(0, Ordering::Relaxed));
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// The zero of `monotonic-ns`.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl sys::Host for HostState {
    fn log(&mut self, at: Level, message: String) -> wasmtime::Result<()> {
        self.charge()?;
        let Some(dropped) = self.shared.log.admit_now() else { return Ok(()) };
        let plugin = &*self.shared.plugin;
        let route = &*self.shared.route;
        if dropped > 0 {
            tracing::warn!(target: "plugin", plugin, route, dropped, "log messages over the limit were dropped");
        }
        // A panic over its config, most likely.
        let message = if self.phase == Phase::Configure { self.shared.hidden.redact(&message) } else { message };
        let message = sanitise(&message, MESSAGE);
        match at {
            Level::Trace => tracing::trace!(target: "plugin", plugin, route, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, route, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, route, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, route, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, route, "{message}"),
        }
        Ok(())
    }

    fn max_level(&mut self) -> wasmtime::Result<Level> {
        self.charge()?;
        let level = LevelFilter::current();
        Ok(if level >= LevelFilter::TRACE {
            Level::Trace
        } else if level >= LevelFilter::DEBUG {
            Level::Debug
        } else if level >= LevelFilter::INFO {
            Level::Info
        } else if level >= LevelFilter::WARN {
            Level::Warn
        } else {
            Level::Error
        })
    }

    fn unix_ms(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        self.charge()?;
        Ok(u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn random(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.charge()?;
        if count > RANDOM {
            return Err(wasmtime::Error::msg(format!("sys.random: {count} bytes asked for, {RANDOM} are allowed")));
        }
        let mut bytes = vec![0; count as usize];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| wasmtime::Error::msg("sys.random: no random numbers"))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_messages_is_cut_and_counted() {
        let gate = LogGate::default();
        let passed = (0..150).filter(|_| gate.admit(7).is_some()).count();
        assert_eq!(passed, 100);
        assert_eq!(gate.admit(8), Some(50));
        assert_eq!(gate.admit(8), Some(0));
    }
}
