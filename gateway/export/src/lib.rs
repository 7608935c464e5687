//! Sends spans, log records and metrics to a collector, off the threads that serve requests.
//!
//! [`model`] is what the gateway makes: plain data, whose constant texts stay constant.

pub mod model;
