//! Interface `sys`: log, clocks, random numbers.

use plugin_rules::MAX_RANDOM;
use tracing::level_filters::LevelFilter;

use crate::plugin::error::sanitise;
use crate::plugin::host::clock::{origin, since_epoch};
use crate::plugin::wit::bindings::edge::gateway::sys::{self, Level};
use crate::plugin::wit::state::HostState;

/// Longest message.
const MESSAGE: usize = 4 << 10;

impl sys::Host for HostState {
    fn log(&mut self, at: Level, message: String) -> wasmtime::Result<()> {
        self.charge()?;
        let Some(dropped) = self.context.log.admit_now() else { return Ok(()) };
        let plugin = &*self.context.plugin;
        let route = &*self.context.route;
        if dropped > 0 {
            tracing::warn!(target: "plugin", plugin, route, dropped, "log messages over the limit were dropped");
        }
        let message = self.context.hidden.redact(&message);
        let message = sanitise(&self.context.words.only(&message, self.exchange.as_deref()), MESSAGE);
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
        if count > MAX_RANDOM {
            return Err(wasmtime::Error::msg(format!("sys.random: {count} bytes asked for, {MAX_RANDOM} are allowed")));
        }
        let mut bytes = vec![0; count as usize];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| wasmtime::Error::msg("sys.random: no random numbers"))?;
        Ok(bytes)
    }
}
