//! Services behind the gateway.
//!
//! [`Upstream`] is what workers share: endpoints as DNS last gave them, their health, the prepared TLS config. It is
//! made on the background runtime and lives as long as a config snapshot names it; a reload that leaves an upstream's
//! config as it is keeps the object, and with it health and connections.
//!
//! [`Client`] is a worker's own half: idle connections, load, the place in the round robin. It is `!Send` and takes no
//! lock on the path of a request. An HTTP/1 connection is driven inside the future of the request that uses it, and by
//! the response body afterwards; an HTTP/2 connection is a task of the worker.

mod acquire;
mod admission;
mod attempt;
mod balance;
mod build;
mod client;
mod connect;
mod connection;
mod endpoint;
mod health;
mod invalid;
mod local;
mod pool;
mod replay;
mod report;
mod request;
mod resolve;
mod response;
mod retry;
mod send;
mod service;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use admission::Capacity;
pub use client::Client;
pub use endpoint::{Endpoint, EndpointStatus};
pub use invalid::InvalidUpstream;
pub use report::{AttemptOutcome, AttemptRecord, Report};
pub use request::Outbound;
pub use service::Upstream;
