//! A request's body over HTTP/2 that was answered before it was whole. (Over HTTP/1 see `upload`; over HTTP/3 a body
//! that is dropped asks the client to stop sending, with NO_ERROR, RFC 9114 section 4.1.)
//!
//! A server may answer early and then reset the stream with NO_ERROR (RFC 9113 section 8.1). Some clients, curl up to
//! 7.88 among them, take a reset that comes while they are sending for a failure, and never show the answer. So what is
//! left of a body is taken in for a moment; a client that is done by then sees no reset at all.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::error::Error;
use crate::message::{Body, headers};
use crate::worker::Worker;

/// How long a client may go on sending what nobody wants, and how long it may pause meanwhile.
pub(super) const LINGER: Duration = Duration::from_secs(5);
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How much of it is taken in.
const MOST: usize = 1 << 20;

/// A body of which the rest is taken in when it is dropped.
pub(super) struct Lingering {
    body: Body,
    worker: Rc<Worker>,
}

impl Lingering {
    /// What a client sends over HTTP/2.
    pub(super) fn body(body: Body, worker: &Rc<Worker>) -> Body {
        if body.is_end_stream() { body } else { Body::boxed(Self { body, worker: worker.clone() }) }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.get_mut().body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
            && let Err(malformed) = headers::check_stream_fields(trailers)
        {
            return Poll::Ready(Some(Err(malformed)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.body);
        if !rest.is_end_stream() && !self.worker.stopping.get() {
            tokio::task::spawn_local(tokio::time::timeout(LINGER, discard(rest)));
        }
    }
}

async fn discard(mut rest: Body) {
    rest.discard();
    let mut discarded = 0;
    while discarded < MOST {
        match tokio::time::timeout(PAUSE, rest.frame()).await {
            Ok(Some(Ok(frame))) => discarded += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}
