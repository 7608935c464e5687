//! Metrics, the export of spans, the error log, and collectors that telemetry is sent to.

pub mod collector;
pub mod log;
pub mod metrics;
pub mod plugin_sink;
pub mod spans;
