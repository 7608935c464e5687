//! A request's body on its way into a stream of HTTP/2. What is wholly here goes with the head. Everything else is sent by
//! whoever waits for the response's head, and from then on by a task: an upstream may answer and still be listening, and who
//! reads its answer may wait.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::task::AbortHandle;

use super::body::{BodyWatch, Piece, WatchedBody};

/// A body that is being sent. Dropped, it takes back what of it the upstream has not taken: its stream is reset, unless
/// everything has gone out.
pub(super) struct StreamUpload {
    stream: SendStream<Piece>,
    /// `None` when all was handed over, or can't be.
    body: Option<WatchedBody>,
    watch: Option<Rc<BodyWatch>>,
    /// What waits for the upstream's window, and whether it is the last.
    next: Option<(Piece, bool)>,
    failed: bool,
}

impl StreamUpload {
    /// Sends what is here already.
    pub(super) fn begin(mut stream: SendStream<Piece>, body: WatchedBody) -> Self {
        let watch = body.watch();
        let Some(whole) = body.whole() else {
            return Self { stream, body: Some(body), watch, next: None, failed: false };
        };
        let handed = stream.send_data(whole, true);
        let mut upload = Self { stream, body: None, watch, next: None, failed: false };
        // It may be too large for h2.
        upload.finish(handed);
        upload
    }

    /// Whether the client has failed to send it. The stream is reset then.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The head of the response has come: a task sends the rest. `None` where there is nothing to wait for or to take back.
    pub(super) fn go_on(mut self) -> Option<Uploading> {
        if self.body.is_none() {
            let unfinished = self.watch.as_ref().is_some_and(|watch| watch.untaken() > 0);
            return unfinished.then(|| Uploading(Rest::Sent { _upload: Box::new(self) }));
        }
        let task = tokio::task::spawn_local(async move {
            poll_fn(|cx| self.poll(cx)).await;
            // What waits to be written is taken back when the response has ended.
            pending::<()>().await;
        });
        Some(Uploading(Rest::Task(task.abort_handle())))
    }

    /// Ready when the body has ended, however it did.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(body) = &mut self.body {
            if self.next.is_some() {
                let open = ready!(poll_window(&mut self.stream, cx));
                if let Some((piece, last)) = self.next.take() {
                    let handed = self.stream.send_data(piece, last);
                    if !open || last || handed.is_err() {
                        self.finish(handed);
                    }
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                // Wakes the task when the upstream wants no more of it.
                let _ = ready!(self.stream.poll_reset(cx));
                self.body = None;
                break;
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(piece))) => {
                    let last = body.is_end_stream();
                    self.offer(piece, last);
                }
                Some(Ok(Err(trailers))) => {
                    self.stream.reserve_capacity(0);
                    let handed = self.stream.send_trailers(trailers.into_trailers().unwrap_or_default());
                    self.finish(handed);
                }
                Some(Err(_)) => {
                    // The client gave the request up, so the upstream is told CANCEL, not that something is broken.
                    self.stream.send_reset(Reason::CANCEL);
                    (self.body, self.failed) = (None, true);
                }
                None => {
                    let handed = self.stream.send_data(Piece::empty(), true);
                    self.finish(handed);
                }
            }
        }
        Poll::Ready(())
    }

    /// Makes a piece the next one to be sent.
    fn offer(&mut self, piece: Piece, last: bool) {
        if piece.has_remaining() {
            // As little as possible of the connection's window: h2 asks for the rest when it has the piece.
            self.stream.reserve_capacity(1);
            self.next = Some((piece, last));
        } else if last {
            let handed = self.stream.send_data(piece, true);
            self.finish(handed);
        }
    }

    /// All was handed over. If it was not, the request has no end: where its stream is still there, that ends as well.
    fn finish(&mut self, handed: Result<(), h2::Error>) {
        if handed.is_err() {
            self.stream.send_reset(Reason::CANCEL);
        }
        self.body = None;
    }
}

/// Waits until the upstream takes something. `false`: the stream is no more.
fn poll_window(stream: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<bool> {
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(false),
        }
    }
    Poll::Ready(true)
}

impl Drop for StreamUpload {
    fn drop(&mut self) {
        // Otherwise h2 does it, when nobody has the stream any more and it is open.
        if self.body.is_none() && self.watch.as_ref().is_some_and(|watch| watch.untaken() > 0) {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}

/// A body that is still being sent while the response is read. Dropped, it is not sent any further.
pub(in crate::upstream) struct Uploading(Rest);

enum Rest {
    /// This task sends it.
    Task(AbortHandle),
    /// All of it was handed over, and the upstream has not taken it all.
    Sent { _upload: Box<StreamUpload> },
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if let Rest::Task(task) = &self.0 {
            task.abort();
        }
    }
}
