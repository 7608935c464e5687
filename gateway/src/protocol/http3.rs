//! HTTP/3 over QUIC: h3 has what a connection is made of (SETTINGS, the control stream, GOAWAY) and decodes field sections,
//! quinn the transport. Frames of requests are read here, once, and responses are written here.
//!
//! Each worker has an endpoint of its own. A connection is a task, a request is a task. A request's task ends early
//! when the client stops reading its response, which drops whatever the handler was doing for it.

mod body;
mod codes;
mod connection;
mod context;
mod decode;
mod encode;
mod endpoint;
pub(crate) mod field_section;
pub(crate) mod frames;
mod goaway;
mod incoming;
mod one_frame;
mod peer;
mod qpack;
mod quic;
mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod tunnel;

pub use endpoint::serve;
