//! The `access_log` section.

use std::path::PathBuf;

use http::HeaderName;

/// The access log. Personal data is off until it is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub target: LogTarget,
    /// Whole client addresses instead of /24 and /48.
    pub full_address: bool,
    /// The query, and path segments that look like personal data.
    pub full_path: bool,
    /// Request header fields whose values are logged.
    pub request_headers: Vec<HeaderName>,
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
