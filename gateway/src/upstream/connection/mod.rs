//! Connections to endpoints: what a worker watches on them, and how a request is sent over HTTP/1.1 and HTTP/2. Pools and
//! responses stand above.

mod body;
mod error;
pub(super) mod http1;
pub(super) mod http2;
mod interim;
mod stream;
mod upload;

pub(super) use body::{BodyWatch, WatchedBody, received};
pub(super) use error::{Returned, SendError, cut_short};
pub(super) use http1::Http1;
pub(super) use http2::{Http2, StreamPermit};
pub(super) use stream::WatchedStream;
pub(super) use upload::Uploading;

/// What can carry one request now.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(StreamPermit),
}

/// A response's head, and what the rest of it comes over.
pub(super) enum Sent {
    Http1(http1::Sent),
    Http2(http2::Sent),
}
