//! What is measured of an exchange.

use std::time::Duration;

/// Times and sizes of an exchange. Durations are of wall time.
#[derive(Debug, Default)]
pub struct Measures {
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
    /// From the first byte sent upstream to the response's head.
    pub upstream: Duration,
    /// Spent inside plugins.
    pub plugins: Duration,
    /// Attempts made upstream: 0 when the gateway or a plugin answered.
    pub attempts: u32,
    /// Set when the exchange ended.
    pub total: Duration,
}
