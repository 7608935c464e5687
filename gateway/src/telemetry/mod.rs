//! Metrics, the export of spans, and the error log.

pub mod log;
pub mod metrics;
pub mod plugin_sink;
pub mod spans;
