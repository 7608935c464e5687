//! The `access_log` section.

use std::path::PathBuf;

use super::Disclosure;

/// The access log. Personal data is off until it is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub target: LogTarget,
    /// What of a request it shows.
    pub include: Disclosure,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to and reopened on SIGHUP.
    File(PathBuf),
    /// Nowhere.
    Off,
}
