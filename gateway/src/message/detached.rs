//! A body that a task of its own pulls, so that it goes on while whoever reads it is busy elsewhere.
//!
//! A reader looks at a body when it has room for more. That is too seldom for one whose source waits for something and
//! meanwhile holds what others need: the reader might be one of those.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Body;
use crate::error::{Error, ErrorKind};

/// One frame, or the end.
type Step = Option<Result<Frame<Bytes>, Error>>;

/// A body that is one frame ahead of its reader. The task ends with it.
pub struct Detached {
    steps: mpsc::Receiver<Step>,
    task: AbortHandle,
    ended: bool,
}

impl Detached {
    /// Gives a body a task; one that is wholly here needs none. Must be called inside a worker's runtime.
    pub fn body(mut body: Body) -> Body {
        if body.as_full().is_some() {
            return body;
        }
        let (sender, steps) = mpsc::channel(1);
        let task = tokio::task::spawn_local(async move {
            while let Ok(place) = sender.reserve().await {
                let step = body.frame().await;
                let over = !matches!(step, Some(Ok(_)));
                place.send(step);
                if over {
                    return;
                }
            }
        });
        Body::boxed(Self { steps, task: task.abort_handle(), ended: false })
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HttpBody for Detached {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        this.steps.poll_recv(cx).map(|step| {
            // A task that is gone without having told the end must not look like the end.
            let step = step.unwrap_or_else(|| Some(Err(Error::new(ErrorKind::Internal, "a body's task is gone"))));
            this.ended = !matches!(step, Some(Ok(_)));
            step
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    fn counting(pieces: u8, taken: &Rc<Cell<u8>>) -> Body {
        let taken = taken.clone();
        Body::boxed(StreamBody::new(stream::iter((0..pieces).map(move |piece| {
            taken.set(taken.get() + 1);
            Ok(Frame::data(Bytes::from(vec![piece])))
        }))))
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn it_is_one_piece_ahead_and_arrives_whole() {
        run(async {
            let taken = Rc::new(Cell::new(0));
            let body = Detached::body(counting(5, &taken));
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(taken.get(), 1);
            assert_eq!(body.collect().await.unwrap().to_bytes(), &[0, 1, 2, 3, 4][..]);
        });
    }

    #[test]
    fn an_error_ends_it_and_so_does_a_task_that_is_gone() {
        run(async {
            let failing =
                stream::iter([Ok(Frame::data(Bytes::from_static(b"x"))), Err(ErrorKind::BodyTooLarge.into())]);
            let mut body = Detached::body(Body::boxed(StreamBody::new(failing)));
            assert!(body.frame().await.unwrap().is_ok());
            assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), ErrorKind::BodyTooLarge);
            assert!(body.frame().await.is_none());

            let (sender, steps) = mpsc::channel(1);
            drop(sender);
            let task = tokio::task::spawn_local(async {}).abort_handle();
            let mut body = Detached { steps, task, ended: false };
            assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), ErrorKind::Internal);
        });
    }

    #[test]
    fn its_task_ends_with_it() {
        run(async {
            let alive = Rc::new(());
            let held = alive.clone();
            let silent = stream::once(async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(Frame::data(Bytes::new()))
            });
            let body = Detached::body(Body::boxed(StreamBody::new(Box::pin(silent))));
            tokio::task::yield_now().await;
            drop(body);
            tokio::task::yield_now().await;
            assert_eq!(Rc::strong_count(&alive), 1);
        });
    }
}
