//! The request body as the pipeline reads it: counted, bounded in size, and bounded in how long the client may stall.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, headers};
use crate::error::{Error, ErrorKind};
use crate::message::FieldMap;
use crate::timer::Stopwatch;

/// What became of a request body; shared with the pipeline, which asks after the upstream call failed.
#[derive(Default)]
pub struct RequestProgress {
    /// Bytes received.
    pub bytes: Cell<u64>,
    /// Whether the next piece of the body has been asked for and has not come.
    pub awaiting_client: Cell<bool>,
    /// The client's mistake that ended the body early.
    pub error: RefCell<Option<Error>>,
}

/// Wraps a client's body.
pub struct RequestBody {
    inner: Body,
    limit: u64,
    /// Runs while the client is awaited.
    stopwatch: Stopwatch,
    progress: Rc<RequestProgress>,
}

impl RequestBody {
    /// Bounds `inner` to `limit` bytes and each wait for the client to what `patience` says.
    pub(crate) fn wrap(inner: Body, limit: u64, patience: Stopwatch, progress: Rc<RequestProgress>) -> Body {
        if inner.is_end_stream() {
            return inner;
        }
        Body::boxed(Self { inner, limit, stopwatch: patience, progress })
    }

    fn fail(&self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        *self.progress.error.borrow_mut() = Some(error.clone());
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            this.progress.awaiting_client.set(true);
            if this.stopwatch.poll_expired(cx) {
                return this.fail(Error::new(ErrorKind::RequestTimeout, "the client stalled while sending the body"));
            }
            return Poll::Pending;
        };
        this.stopwatch.restart();
        this.progress.awaiting_client.set(false);
        match frame {
            None => Poll::Ready(None),
            Some(Err(error)) => this.fail(error),
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = this.progress.bytes.get() + data.len() as u64;
                    this.progress.bytes.set(bytes);
                    if bytes > this.limit {
                        return this.fail(ErrorKind::BodyTooLarge.into());
                    }
                } else if let Some(trailers) = frame.trailers_mut() {
                    let request = headers::Direction::Request;
                    FieldMap::edit(trailers, |trailers| headers::strip_trailers(trailers, request));
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::Instant;

    use super::*;
    use crate::timer::Timers;

    fn patience(seconds: u64) -> Stopwatch {
        Stopwatch::new(Timers::default(), Duration::from_secs(seconds))
    }

    fn chunks(sizes: &[usize]) -> Body {
        let frames: Vec<Result<_, Error>> =
            sizes.iter().map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; *size])))).collect();
        Body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_body_over_the_limit_fails_at_the_chunk_that_crosses_it() {
        let progress = Rc::new(RequestProgress::default());
        let mut body = RequestBody::wrap(chunks(&[5, 5, 1]), 10, patience(1), progress.clone());
        assert!(body.frame().await.expect("first").is_ok());
        assert!(body.frame().await.expect("second").is_ok());
        let error = body.frame().await.expect("third").expect_err("over the limit");
        assert_eq!(error.kind(), ErrorKind::BodyTooLarge);
        assert_eq!(progress.error.borrow().as_ref().map(Error::kind), Some(ErrorKind::BodyTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_is_awaited_from_when_a_piece_is_asked_for_until_it_comes() {
        let progress = Rc::new(RequestProgress::default());
        let slow = futures_util::stream::unfold(0, |sent| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (sent < 1).then(|| (Ok::<_, Error>(Frame::data(Bytes::from_static(b"x"))), sent + 1))
        });
        let mut body =
            RequestBody::wrap(Body::boxed(StreamBody::new(Box::pin(slow))), 10, patience(60), progress.clone());
        assert!(!progress.awaiting_client.get());
        let waited = tokio::time::timeout(Duration::from_millis(500), body.frame()).await;
        assert!(waited.is_err() && progress.awaiting_client.get());
        assert!(body.frame().await.expect("a frame").is_ok());
        assert!(!progress.awaiting_client.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stalls_is_given_up_after_the_timeout() {
        let progress = Rc::new(RequestProgress::default());
        let silent = Body::boxed(StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Error>>()));
        let mut body = RequestBody::wrap(silent, 10, patience(60), progress);
        let before = Instant::now();
        let error = body.frame().await.expect("a frame").expect_err("stalled");
        assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        assert_eq!(before.elapsed().as_secs(), 60);
    }
}
