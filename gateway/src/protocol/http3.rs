//! HTTP/3 over QUIC, by h3 and quinn.
//!
//! Each worker has an endpoint of its own. A connection is a task, a request is a task. A request's task ends early
//! when the client stops reading its response, which drops whatever the handler was doing for it.

mod body;
mod codes;
mod connection;
mod context;
mod endpoint;
pub(crate) mod field_section;
pub(crate) mod frames;
mod goaway;
mod qpack;
mod quic;
mod request;
mod stream;

pub use endpoint::serve;
