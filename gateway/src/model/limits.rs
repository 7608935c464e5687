//! The `limits` section.

/// Limits of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight per worker; above it new ones get 503 with Retry-After. Default 10,000.
    pub requests_per_worker: usize,
    /// Bytes of bodies that may be held at a time; `None` = a share of the machine's memory.
    pub body_memory: Option<u64>,
    /// Bytes that plugins' instances may have together; `None` = a share of the machine's memory.
    pub plugin_memory: Option<u64>,
}
