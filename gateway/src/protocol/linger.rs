//! What clients send that nobody wants: it is taken in for a moment, so that they get their answers.
//!
//! Over TCP a socket that is closed with unread bytes in it is reset, and a reset overtakes the last response (RFC 9112
//! section 9.6). Over HTTP/1 a request that was answered early stands before the next one: see `upload`. Over HTTP/2 a
//! server may answer early and then reset the stream with NO_ERROR (RFC 9113 section 8.1); some clients, curl up to 7.88
//! among them, take a reset that comes while they are sending for a failure, and never show the answer. A client that is
//! done by then sees no reset at all. (Over HTTP/3 a body that is dropped asks the client to stop sending, with NO_ERROR,
//! RFC 9114 section 4.1.)

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::activity::Activity;
use super::connections::Connections;
use crate::error::Error;
use crate::message::{Body, headers};

/// How long a client may go on sending what nobody wants.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// How long it may pause meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// How much is taken in beside the last response of a connection.
pub(super) const MOST_OF_CONNECTION: u64 = 4 << 20;
/// How much is taken in of one of many streams.
const MOST_OF_STREAM: u64 = 1 << 20;

/// Takes in what `next` tells the sizes of, until there is no more: at most so much, within `limit`, and across a pause only
/// while it `waits`.
pub(super) async fn take_in(
    limit: Duration,
    most: u64,
    waits: impl Fn() -> bool,
    mut next: impl AsyncFnMut() -> Option<usize>,
) {
    let taking = async {
        let mut taken = 0;
        while taken < most {
            match tokio::time::timeout(PAUSE, next()).await {
                Ok(Some(count)) => taken += count as u64,
                Ok(None) => return,
                Err(_) if waits() => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(limit, taking).await;
}

/// Closes a connection so that its last response arrives, which has been written, as has its end: a client that is still
/// sending a body which was refused is read for a moment longer.
pub(super) async fn close(mut io: impl AsyncRead + Unpin, activity: &Activity) {
    // In a box: an idle connection must not keep room for it.
    let lingering = Box::pin(async move {
        let mut buffer = [0; 4096];
        let read = async || io.read(&mut buffer).await.ok().filter(|&count| count > 0);
        take_in(LINGER, MOST_OF_CONNECTION, || false, read).await;
    });
    tokio::select! {
        () = activity.closed() => {}
        () = lingering => {}
    }
}

/// A body of which the rest is taken in when it is dropped.
pub(super) struct Lingering {
    body: Body,
    connections: Rc<Connections>,
}

impl Lingering {
    /// What a client sends over HTTP/2.
    pub(super) fn body(body: Body, connections: &Rc<Connections>) -> Body {
        if body.is_end_stream() { body } else { Body::boxed(Self { body, connections: connections.clone() }) }
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
        if !rest.is_end_stream() && !self.connections.is_stopping() {
            tokio::task::spawn_local(discard(rest));
        }
    }
}

async fn discard(mut rest: Body) {
    rest.discard();
    let next = async || Some(rest.frame().await?.ok()?.data_ref().map_or(0, Bytes::len));
    take_in(LINGER, MOST_OF_STREAM, || false, next).await;
}
