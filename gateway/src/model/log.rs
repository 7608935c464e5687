//! The `log` section: the gateway's own messages.

use super::reload::Deferred;

/// The error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: tracing::Level,
    /// The format.
    pub format: LogFormat,
    /// Whether messages of plugins are shown whole, with what is not their own words.
    pub plugin_messages: bool,
}

/// The error log's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Log {
    /// Level and what is shown follow; the format is what the start made the subscriber of.
    pub(super) fn keep(&mut self, running: &Self, deferred: &mut Deferred) {
        let Self { level: _, format, plugin_messages: _ } = self;
        deferred.keep(format, &running.format, |new| {
            let (now, next) = (running.format.word(), new.word());
            format!("log.format changes from {now} to {next} at the next start; until then it stays as it is")
        });
    }
}

impl LogFormat {
    /// As in the file.
    const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
