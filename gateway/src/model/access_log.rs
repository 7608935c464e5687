//! The `access_log` section, and what routes change of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Disclosure, LinePiece, LogField};

/// An access log. Personal data is off until it is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub target: LogTarget,
    /// What its records look like.
    pub format: RecordFormat,
    /// What of a request it shows.
    pub include: Disclosure,
    /// Which exchanges it has.
    pub selection: LogSelection,
}

/// Where an access log goes. No two logs have the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to and reopened on SIGHUP.
    File(PathBuf),
    /// A syslog receiver (RFC 5424).
    Syslog(Syslog),
}

/// For messages.
impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
            Self::Syslog(syslog) => syslog.address.fmt(f),
        }
    }
}

/// A syslog receiver, and what messages to it say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// Where it listens.
    pub address: SyslogAddress,
    /// Numerical code of RFC 5424 table 1. Default 16 (`local0`).
    pub facility: u8,
    /// Numerical code of RFC 5424 table 2. Default 6 (`info`).
    pub severity: u8,
    /// APP-NAME: up to 48 visible ASCII characters. Default `gateway`.
    pub app_name: String,
    /// A longer message is cut, in bytes. Default 8 KiB, as receivers have it.
    pub max_message: usize,
}

/// Where a syslog receiver listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A datagram per message (RFC 5426).
    Udp {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A stream of messages with their lengths before them (RFC 6587 section 3.4.1).
    Tcp {
        /// A name or an IP address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A datagram per message, to a socket such as `/dev/log`.
    Unix(PathBuf),
}

/// As in the configuration.
impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Unix(path) => return write!(f, "unix://{}", path.display()),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

/// What records look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// A JSON object with these members, or with all that an exchange has.
    Json(Option<Vec<LogField>>),
    /// NCSA combined, as NGINX writes it.
    Combined,
    /// Text with variables.
    Template(Vec<LinePiece>),
}

/// Which exchanges are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSelection {
    /// Those that any of these holds for; empty = all.
    pub when: Vec<LogCondition>,
    /// A share of them.
    pub sample: Option<LogSample>,
}

/// A share of exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSample {
    /// How many of a million.
    pub per_million: u32,
    /// Those that any of these holds for are all logged.
    pub always: Vec<LogCondition>,
}

/// A condition on an exchange that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogCondition {
    /// It failed, or its status is 500 or above.
    Error,
    /// All that is given here holds.
    All(LogConditions),
}

/// Conditions on an exchange that has ended. What is not given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConditions {
    /// The status is in any of these; no response has none.
    pub statuses: Option<Vec<RangeInclusive<u16>>>,
    /// Whether there is a failure in its record.
    pub failed: Option<bool>,
    /// It took longer than this.
    pub slower_than: Option<Duration>,
    /// It matched any of these routes.
    pub routes: Option<Vec<Arc<str>>>,
    /// Who made the response, any of these, by the names of the record.
    pub sources: Option<Vec<&'static str>>,
    /// Whether its trace is sampled.
    pub sampled: Option<bool>,
}

/// What a route changes of the access logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteLog {
    /// Its exchanges are in none.
    Off,
    /// Of its exchanges only these are: in addition to the conditions of each log, and with this share, where there is one,
    /// in the place of the log's.
    Only(LogSelection),
}

impl Default for RouteLog {
    fn default() -> Self {
        Self::Only(LogSelection::default())
    }
}
