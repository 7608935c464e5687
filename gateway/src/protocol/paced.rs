//! A response's body as its connection takes it: in pieces that a client can be expected to take in time where responses
//! run side by side, with notes of what is offered and what was taken, and counted while it waits.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::multiplexed::StreamActivity;
use super::running::Running;
use crate::error::Error;
use crate::memory::{Credit, Held};
use crate::message::Body;

/// The most that is offered at a time on a stream of its own: the client has the body timeout to take it.
const OFFER: usize = 64 << 10;
/// From this size on the last byte of a piece is offered by itself. A connection takes a whole piece as soon as there is
/// room for a byte of it; only the next one that it asks for tells that there was room for all.
const LARGE: usize = 16 << 10;

/// Upstreams' responses come in pieces of at most this size. What is larger was held whole, and is counted by whoever did.
const LARGEST_READ: usize = 128 << 10;

/// A response's body on its way out.
pub(super) struct Paced {
    body: Body,
    /// What is left of a piece that was too large to be offered at once.
    rest: Bytes,
    /// Whether the response has a stream of its own among others.
    multiplexed: bool,
    /// What of it waits for the client.
    held: Held,
    // Last: the request runs until its record is written, which the end of the body does.
    running: Option<Running>,
}

impl Paced {
    /// Of a response that goes out alone, or on a stream of its own.
    pub(super) fn new(body: Body, multiplexed: bool, running: Option<Running>, memory: &Rc<Credit>) -> Self {
        // Nobody polls a body that is over: such a response ends here.
        let running = running.filter(|_| !body.is_end_stream());
        Self { body, rest: Bytes::new(), multiplexed, held: Held::new(memory.clone()), running }
    }

    fn stream(&self) -> Option<&StreamActivity> {
        self.running.as_ref()?.stream.as_deref()
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut data = if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        } else {
            std::mem::take(&mut self.rest)
        };
        if self.multiplexed {
            self.rest = keep_back(&mut data);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// What of a piece should not be offered yet to a stream of its own.
fn keep_back(data: &mut Bytes) -> Bytes {
    match data.len() {
        length if length > OFFER => data.split_off(OFFER),
        length if length > LARGE => data.split_off(length - 1),
        _ => Bytes::new(),
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = this.poll_body(cx);
        if let Some(stream) = this.stream() {
            if polled.is_ready() {
                stream.offered(Instant::now());
            } else {
                stream.taken();
            }
        }
        let piece = match &polled {
            // Over HTTP/2 what was offered is counted by the connection, which knows when it is written.
            Poll::Ready(Some(Ok(_))) if this.stream().is_some() => this.rest.len(),
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len) + this.rest.len(),
            _ => 0,
        };
        this.held.set(if piece <= LARGEST_READ { piece } else { 0 });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        // What was kept back never went out; what was offered and never taken did not arrive.
        if !self.rest.is_empty() || self.stream().is_some_and(StreamActivity::is_cut) {
            self.body.undelivered(self.rest.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_large_piece_is_offered_when_the_rest_was_taken() {
        let offered = |length: usize| {
            let (mut rest, mut offered) = (Bytes::from(vec![b'x'; length]), Vec::new());
            while !rest.is_empty() {
                let mut piece = rest;
                rest = keep_back(&mut piece);
                offered.push(piece.len());
            }
            offered
        };
        assert_eq!(offered(LARGE), [LARGE]);
        assert_eq!(offered(LARGE + 1), [LARGE, 1]);
        assert_eq!(offered(OFFER), [OFFER - 1, 1]);
        assert_eq!(offered(2 * OFFER + 5), [OFFER, OFFER, 5]);
    }

    /// A body of one piece that notes what it is told.
    struct Told(Option<Bytes>, Rc<std::cell::Cell<Option<u64>>>);

    impl HttpBody for Told {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    impl crate::message::Metered for Told {
        fn undelivered(self: Pin<&mut Self>, bytes: u64) {
            self.1.set(Some(bytes));
        }
    }

    #[test]
    fn a_body_is_told_what_was_kept_back_when_it_is_given_up() {
        let memory = Credit::new(crate::memory::Budget::new(1 << 30));
        for (multiplexed, polls, told) in [(true, 1, Some(1)), (true, 2, None), (false, 1, None), (true, 0, None)] {
            let note = Rc::default();
            let body = Told(Some(Bytes::from(vec![b'x'; LARGE + 1])), Rc::clone(&note));
            let mut paced = Paced::new(Body::metered(body), multiplexed, None, &memory);
            for _ in 0..polls {
                let polled = Pin::new(&mut paced).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
                assert!(matches!(polled, Poll::Ready(Some(Ok(_)))));
            }
            drop(paced);
            assert_eq!(note.get(), told, "{multiplexed} {polls}");
        }
    }
}
