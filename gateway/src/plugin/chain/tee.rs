//! A body that passes and is kept.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use crate::error::Error;
use crate::message::Body;
use crate::plugin::stored::{Draft, StoredResponses};

/// Copies a body that passes into a draft, and stores it when the body comes to its end.
pub(super) struct Tee {
    pub(super) body: Body,
    pub(super) draft: Option<Draft>,
    pub(super) stored: Arc<StoredResponses>,
}

impl Tee {
    fn finish(&mut self) {
        if let Some(draft) = self.draft.take() {
            self.stored.put(draft, self.stored.now());
        }
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Err(_))) => this.draft = None,
            Poll::Ready(Some(Ok(frame))) => {
                // A response with trailers is not kept: nothing here would give them out again.
                let fits = frame.data_ref().is_some_and(|data| this.draft.as_mut().is_some_and(|d| d.push(data)));
                if !fits {
                    this.draft = None;
                } else if this.body.is_end_stream() {
                    this.finish();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.draft.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
