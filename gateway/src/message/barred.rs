//! A request body whose trailers may not bring what was taken off the head, or set in the client's place.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, headers};
use crate::error::Error;
use crate::message::FieldMap;
use crate::model::Route;

/// Wraps a body.
pub struct BarredTrailers {
    inner: Body,
    names: Vec<HeaderName>,
    route: Rc<Route>,
}

impl BarredTrailers {
    /// Bars `names` and those that the route changes. Only a body that streams can have trailers: others stay as they are.
    pub fn wrap(inner: Body, names: Vec<HeaderName>, route: &Rc<Route>) -> Body {
        let nothing = names.is_empty() && route.request_headers.is_empty();
        if nothing || inner.is_end_stream() || inner.as_full().is_some() {
            return inner;
        }
        Body::boxed(Self { inner, names, route: route.clone() })
    }
}

impl HttpBody for BarredTrailers {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            let edits = &this.route.request_headers;
            FieldMap::edit(trailers, |trailers| headers::strip_barred(trailers, &this.names, edits));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
