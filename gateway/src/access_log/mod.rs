//! A record per request, in as many logs as the configuration has: as JSON, as NCSA combined or by a template, to stdout, a
//! file or a syslog receiver.
//!
//! A worker encodes into buffers of its own and hands full ones to a log's writer thread over a bounded queue. It never
//! waits: when a writer is behind, lines are dropped and counted. Personal data is left out or masked unless the
//! configuration names it: see [`crate::model::AccessLog`]. Whatever a client sends, a record is one line, in which it is one
//! value.

mod append;
mod escape;
mod fields;
mod file;
mod filter;
mod line;
mod syslog;
mod target;
mod time;
mod value;
mod worker;
mod writer;

pub use target::{AccessLog, Target};
pub use worker::WorkerLog;

#[cfg(test)]
mod tests;
