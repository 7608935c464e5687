//! A request's body over HTTP/2: DATA frames as they come, then trailers. What nobody reads of it is taken in for a moment.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::context::Connection;
use super::trailers::Malformed;
use crate::error::{Error, ErrorKind};
use crate::handler::Handler;
use crate::memory::{Exhausted, Unread};
use crate::message::{Body, headers};
use crate::protocol::connections::Connections;
use crate::protocol::linger::{LINGER, MOST_OF_STREAM, take_in};
use crate::protocol::multiplexed::StreamActivity;
use crate::sanitize::safe;

/// The body of one request.
pub(super) struct IncomingBody {
    /// There until it is dropped.
    content: Option<Content>,
    connections: Rc<Connections>,
}

impl IncomingBody {
    /// The body that comes behind these fields: none where the stream has ended with them.
    pub(super) fn of<H: Handler>(
        fields: &HeaderMap,
        stream: RecvStream,
        connection: &Connection<H>,
        activity: &Rc<StreamActivity>,
    ) -> Body {
        if stream.is_end_stream() {
            return Body::empty();
        }
        // h2 compares it with what comes.
        let declared = fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let content = Content {
            id: stream.stream_id().as_u32(),
            stream,
            unread: Unread::begun(connection.window.clone()),
            declared,
            data_ended: false,
            malformed: connection.malformed.clone(),
            activity: activity.clone(),
        };
        Body::boxed(Self { content: Some(content), connections: connection.server.connections.clone() })
    }
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().content.as_mut().map_or(Poll::Ready(None), |content| content.poll_counted(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.content.as_ref().is_none_or(|content| content.stream.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.content.as_ref().and_then(|content| content.declared);
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if let Some(content) = self.content.take()
            && !content.stream.is_end_stream()
            && !self.connections.is_stopping()
        {
            tokio::task::spawn_local(discard(content));
        }
    }
}

/// What comes on a stream behind the head of its request.
struct Content {
    id: u32,
    stream: RecvStream,
    unread: Unread,
    /// What Content-Length says is still to come.
    declared: Option<u64>,
    data_ended: bool,
    malformed: Rc<Malformed>,
    activity: Rc<StreamActivity>,
}

impl Content {
    /// The next frame. While nobody asks for one, what may come is counted.
    fn poll_counted(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_frame(cx);
        // A body that has failed is over as well, and the reason is not ours.
        if !matches!(polled, Poll::Ready(Some(Ok(_)))) || self.stream.is_end_stream() {
            self.unread.awaited();
        } else if !self.unread.handed_out() {
            return Poll::Ready(Some(Err(Exhausted.into())));
        }
        polled
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only where the stream is gone, which the next frame tells.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if let Some(declared) = &mut self.declared {
                        *declared = declared.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(gone(&error)))),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Some(self.check(&trailers).map(|()| Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(gone(&error))),
        })
    }

    /// Refuses malformed trailers. h2 resets the stream for some reasons by itself, and for this one its task does.
    fn check(&self, trailers: &HeaderMap) -> Result<(), Error> {
        if self.malformed.take(self.id) {
            self.activity.refuse();
            return Err(Error::new(ErrorKind::BadRequest, "a pseudo-header field in trailers"));
        }
        headers::check_stream_fields(trailers)
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.malformed.take(self.id);
    }
}

/// Whatever its code, a reset ends a body before its end.
fn gone(error: &h2::Error) -> Error {
    Error::new(ErrorKind::ClientGone, safe!("reading the request body: ", *error))
}

async fn discard(mut content: Content) {
    content.unread.discard();
    let next = async || {
        let frame = poll_fn(|cx| content.poll_frame(cx)).await?;
        Some(frame.ok()?.data_ref().map_or(0, Bytes::len))
    };
    take_in(LINGER, MOST_OF_STREAM, || false, next).await;
}
