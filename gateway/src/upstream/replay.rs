//! A request's body that can be handed out again, within a bound.
//!
//! What is wholly here is kept, which costs one more count of its references; whoever put it there has counted its bytes. What
//! streams can be handed out once. A body that is recorded as it streams, up to a number of bytes, is one more kind of
//! [`Kept`]: [`ReplayableBody::take`] hands out a body that records, and [`ReplayableBody::rewind`] puts the record before
//! what is left of it, or says that the bound was passed.

use bytes::Bytes;

use crate::message::Body;

/// A body that goes into one try after the other.
pub(super) struct ReplayableBody {
    /// What the next try sends.
    next: Body,
    kept: Option<Kept>,
}

/// What makes a body whole again that a try has taken.
enum Kept {
    Whole(Bytes),
}

impl ReplayableBody {
    pub(super) const fn new(body: Body) -> Self {
        Self { next: body, kept: None }
    }

    /// What the next try sends.
    pub(super) const fn next(&self) -> &Body {
        &self.next
    }

    /// Keeps what handing it out again needs. `false`: that can't be done.
    pub(super) fn keep(&mut self) -> bool {
        self.kept = self.next.as_full().map(Kept::Whole);
        self.kept.is_some()
    }

    /// Hands it out.
    pub(super) fn take(&mut self) -> Body {
        std::mem::take(&mut self.next)
    }

    /// It has come back unread.
    pub(super) fn put_back(&mut self, body: Body) {
        self.next = body;
        self.kept = None;
    }

    /// Makes it whole again, whatever of it was read. `false`: it can't be handed out again.
    pub(super) fn rewind(&mut self) -> bool {
        let Some(Kept::Whole(bytes)) = self.kept.take() else { return false };
        self.next = Body::full(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    #[test]
    fn what_is_wholly_here_is_handed_out_again_where_it_was_kept() {
        let mut body = ReplayableBody::new(Body::full("abc"));
        let _ = body.take();
        assert!(!body.rewind(), "nobody kept it");
        let mut body = ReplayableBody::new(Body::full("abc"));
        assert!(body.keep());
        let _ = body.take();
        assert!(body.rewind());
        assert_eq!(body.take().as_full().as_deref(), Some(&b"abc"[..]));
        assert!(!body.rewind(), "kept for one time");
    }

    #[test]
    fn what_streams_is_handed_out_once_unless_it_comes_back() {
        let streamed = || Body::boxed(http_body_util::StreamBody::new(futures_util::stream::pending()));
        let mut body = ReplayableBody::new(streamed());
        assert!(!body.keep());
        let taken = body.take();
        assert!(!body.rewind() && body.next().is_end_stream());
        body.put_back(taken);
        assert!(!body.next().is_end_stream());
    }
}
