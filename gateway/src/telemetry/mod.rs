//! Metrics and the error log.

pub mod log;
pub mod metrics;
pub mod plugin_sink;
