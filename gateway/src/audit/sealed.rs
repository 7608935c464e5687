//! A response body whose end is held back until the closing record is confirmed.
//!
//! What the end is depends on what the client knows: where the length was told, the last piece completes the response, and
//! otherwise the trailers or the end of the stream do. Pieces before that pass at once: a stream of events is not delayed.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::records::Records;
use crate::error::Error;
use crate::message::{Body, content};

/// Has the closing record confirmed before the client's last byte: at once where the response is all here, and otherwise by a
/// body that holds its end back. The head must not be on its way yet.
///
/// # Errors
/// The record is not confirmed, and the response may not be sent.
pub async fn seal(mut records: Box<Records>, is_head: bool, body: Body) -> Result<Body, Error> {
    if records.is_over() {
        return Ok(body);
    }
    let bodiless = is_head || records.status().await.is_some_and(|status| !content::is_allowed(status));
    let whole = body.as_full();
    if !bodiless && whole.is_none() && !body.is_end_stream() {
        return Ok(Body::boxed(Sealed::new(body, records)));
    }
    records.sends(whole.filter(|_| !bodiless).map_or(0, |bytes| bytes.len()));
    poll_fn(|cx| records.poll_closed(cx)).await?;
    Ok(body)
}

/// See the module.
struct Sealed {
    inner: Body,
    records: Box<Records>,
    /// What is left of a length that is known.
    left: Option<u64>,
    state: State,
}

enum State {
    Passing,
    /// Waits for the record, with the last piece, or with nothing where the end alone is left.
    Held(Option<Frame<Bytes>>),
    /// The record is confirmed.
    Closed,
    /// The response may not end well.
    Failed,
}

impl Sealed {
    /// A body that has something to give yet.
    fn new(inner: Body, records: Box<Records>) -> Self {
        let left = inner.size_hint().exact();
        Self { inner, records, left, state: State::Passing }
    }

    /// Whether this piece completes what the client expects.
    fn is_last(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        self.records.sends(data.len());
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        self.left == Some(0) || self.inner.is_end_stream()
    }
}

impl HttpBody for Sealed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Passing => match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                    Some(Ok(frame)) if !this.is_last(&frame) => return Poll::Ready(Some(Ok(frame))),
                    Some(Ok(frame)) => this.state = State::Held(Some(frame)),
                    None => this.state = State::Held(None),
                    Some(Err(error)) => {
                        this.state = State::Failed;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Held(frame) => match ready!(this.records.poll_closed(cx)) {
                    Ok(()) => {
                        let frame = frame.take();
                        this.state = State::Closed;
                        return Poll::Ready(frame.map(Ok));
                    }
                    Err(error) => {
                        this.state = State::Failed;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Closed => return Pin::new(&mut this.inner).poll_frame(cx),
                State::Failed => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Closed) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Held(Some(frame)) => SizeHint::with_exact(frame.data_ref().map_or(0, |data| data.len() as u64)),
            _ => self.inner.size_hint(),
        }
    }
}
