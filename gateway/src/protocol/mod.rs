//! Turns each HTTP version into one request type and hands it to the pipeline.
//!
//! Nothing below this module branches on how a version frames its messages: the pipeline asks only whether responses run
//! side by side, and whether HTTP/3 is worth announcing. A replacement of hyper's HTTP/1 codec would stay local to
//! `http.rs`.

pub mod activity;
mod cleartext;
pub mod http;
pub mod http3;
mod linger;
mod multiplexed;
mod tracked;
mod unsent;
mod upload;

pub use multiplexed::Stream;
