//! The `drain` section.

use std::time::Duration;

/// How the gateway stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still accepted after SIGTERM, while readiness fails already. Default 0.
    pub delay: Duration,
    /// How long requests in flight may take to finish after that. Default 30 s.
    pub timeout: Duration,
}
