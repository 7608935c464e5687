//! The gateway's own messages, on stderr. Nothing but the configuration sets level and format: an environment variable
//! that is left over somewhere must not turn on messages that may hold personal data.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::model::{Log, LogFormat};

/// Crates that log what passes through them below `info`: headers, frames, names. They are held back at `info` also where
/// the gateway's own level is lower, and at `warn` otherwise.
const CHATTY: [&str; 10] =
    ["h2", "h3", "hyper", "hyper_util", "quinn", "quinn_proto", "rustls", "cranelift_codegen", "wasmtime", "notify"];

/// The running error log.
#[derive(Debug)]
pub struct ErrorLog(reload::Handle<Targets, Registry>);

impl ErrorLog {
    /// Starts the error log; to be called once per process.
    pub fn start(log: &Log) -> Result<Self, TryInitError> {
        let layer = match log.format {
            LogFormat::Text => fmt::layer().with_writer(io::stderr).with_ansi(false).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
        };
        let (filter, handle) = reload::Layer::new(filter(log.level));
        Registry::default().with(layer.with_filter(filter)).try_init()?;
        Ok(Self(handle))
    }

    /// Follows the level of a new configuration. The format stays.
    pub fn follow(&self, log: &Log) {
        if let Err(error) = self.0.reload(filter(log.level)) {
            tracing::error!(%error, "the log's level can't be changed");
        }
    }
}

fn filter(level: tracing::Level) -> Targets {
    let own = LevelFilter::from_level(level);
    let others = if own > LevelFilter::INFO { LevelFilter::INFO } else { own.min(LevelFilter::WARN) };
    Targets::new().with_default(own).with_targets(CHATTY.map(|name| (name, others)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_stay_quieter_than_the_gateway() {
        for (level, own, other) in [
            (Level::DEBUG, Level::DEBUG, Level::INFO),
            (Level::INFO, Level::INFO, Level::WARN),
            (Level::ERROR, Level::ERROR, Level::ERROR),
        ] {
            let filter = filter(level);
            let loudest = |target: &str| {
                [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
                    .into_iter()
                    .find(|level| filter.would_enable(target, level))
            };
            assert_eq!(loudest("gateway::pipeline"), Some(own), "{level}");
            assert_eq!(loudest("hyper::proto"), Some(other), "{level}");
        }
    }

    #[test]
    fn the_level_follows_a_reload() {
        let (filter_layer, handle) = reload::Layer::new(filter(Level::INFO));
        let subscriber = Registry::default().with(fmt::layer().with_writer(io::sink).with_filter(filter_layer));
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::enabled!(target: "gateway::test", Level::DEBUG));
            ErrorLog(handle).follow(&Log { level: Level::DEBUG, format: LogFormat::Text, plugin_messages: false });
            assert!(tracing::enabled!(target: "gateway::test", Level::DEBUG));
        });
    }
}
