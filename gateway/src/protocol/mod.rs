//! Turns each HTTP version into one request type and hands it to the one handler that it is given.
//!
//! Nothing below this module branches on how a version frames its messages; the pipeline asks only whether HTTP/3 is worth
//! announcing. How responses are paced, when connections end and how, is decided here.

pub mod activity;
mod allowance;
mod answers;
mod cleartext;
pub mod connections;
mod http1;
pub(crate) mod http2;
pub mod http3;
mod linger;
mod multiplexed;
mod paced;
mod running;
mod server;
pub mod tcp;
mod tracked;
mod tunnel;

pub use server::Server;
