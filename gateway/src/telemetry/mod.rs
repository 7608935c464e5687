//! Metrics, exports of spans and of log records, the error log, and collectors that telemetry is sent to.

pub(crate) mod attributes;
pub mod collector;
pub mod export;
pub mod log;
pub mod metrics;
pub(crate) mod outcome;
pub mod plugin_sink;
