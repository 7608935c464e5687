//! The end of an exchange: exactly one log record and one set of metrics, however it ended.
//!
//! A [`Completion`] is made before anything can fail and lives in whatever keeps the exchange alive: first the
//! pipeline's own frame, later the response body. When it is dropped (the response is complete, was cut, or the
//! client left), the exchange is over.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use smallvec::SmallVec;

use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::{Exchange, SharedExchange};
use crate::memory::Held;
use crate::message::headers::{self, Direction};
use crate::message::{Body, RequestProgress, content};
use crate::plugin::chain::ChainRun;
use crate::protocol::Stream;
use crate::protocol::http::Running;
use crate::worker::{RouteHandle, Worker};

/// Finishes an exchange when it is dropped.
pub struct Completion {
    worker: Rc<Worker>,
    exchange: SharedExchange,
    /// Bytes received from the client, and its mistakes while sending.
    pub request: Rc<RequestProgress>,
    /// The chain's run, once there is one: for its log phases.
    pub run: Option<ChainRun>,
    /// The matched route, for its metrics.
    pub route: Option<Rc<RouteHandle>>,
    response_bytes: Cell<u64>,
    complete: Cell<bool>,
    /// What cut the response short.
    cut: RefCell<Option<Error>>,
    running: Option<Running>,
    /// Whether the response has a stream of its own among others.
    multiplexed: bool,
    in_flight: Option<InFlight>,
}

/// Counts an exchange until its record is written, so that a drain waits for that.
struct InFlight(Rc<Worker>);

impl InFlight {
    fn new(worker: Rc<Worker>) -> Self {
        worker.in_flight.set(worker.in_flight.get() + 1);
        worker.metrics.in_flight().add(1);
        Self(worker)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        self.0.metrics.in_flight().add(-1);
    }
}

impl Completion {
    /// Begins an exchange, on a connection where responses may run side by side or on one where they may not.
    pub fn new(worker: Rc<Worker>, exchange: SharedExchange, running: Option<Running>, multiplexed: bool) -> Self {
        Self {
            in_flight: Some(InFlight::new(worker.clone())),
            worker,
            exchange,
            request: Rc::default(),
            run: None,
            route: None,
            response_bytes: Cell::new(0),
            complete: Cell::new(false),
            cut: RefCell::new(None),
            running,
            multiplexed,
        }
    }

    fn stream(&self) -> Option<&Stream> {
        self.running.as_ref().and_then(Running::stream)
    }

    /// Ties the end of the exchange to the end of this response body, whose trailers may not bring what is `barred`.
    pub fn attach(
        self,
        method_is_head: bool,
        status: StatusCode,
        body: Body,
        barred: SmallVec<[HeaderName; 2]>,
    ) -> Body {
        // These never have content, so nobody will poll the body.
        if method_is_head || !content::is_allowed(status) {
            self.complete.set(true);
            return Body::empty();
        }
        if body.is_end_stream() {
            self.complete.set(true);
            return body;
        }
        let held = Held::new(self.worker.memory.clone());
        Body::boxed(ResponseBody { inner: body, rest: Bytes::new(), barred, held, completion: self })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let worker = self.worker.clone();
        let in_flight = self.in_flight.take();
        let cut = self.stream().is_some_and(Stream::is_cut);
        let ending = Ending {
            bytes_in: self.request.bytes.get(),
            bytes_out: self.response_bytes.get(),
            cut: self.cut.take(),
            // What was offered and never taken did not arrive.
            complete: self.complete.get() && !cut,
        };
        let route = self.route.take();
        let run = self.run.take().filter(|run| run.logs());
        // The common case, on the spot: no plugin wants to hear of it, and nobody else works on the exchange.
        if run.is_none()
            && let Ok(mut slot) = self.exchange.try_lock()
            && let Some(exchange) = slot.as_deref_mut()
        {
            ending.note(exchange);
            return record(&worker, route.as_deref(), exchange);
        }
        if worker.stopping.get() {
            return; // The runtime is being torn down after the drain's deadline: no task would run any more.
        }
        let exchange = self.exchange.clone();
        tokio::task::spawn_local(async move {
            if let Some(exchange) = exchange.lock().await.as_deref_mut() {
                ending.note(exchange);
            }
            if let Some(run) = run {
                run.log().await;
            }
            if let Some(exchange) = exchange.lock().await.as_deref() {
                record(&worker, route.as_deref(), exchange);
            }
            drop(in_flight);
        });
    }
}

/// How an exchange ended.
struct Ending {
    bytes_in: u64,
    bytes_out: u64,
    cut: Option<Error>,
    complete: bool,
}

impl Ending {
    fn note(&self, exchange: &mut Exchange) {
        exchange.measures.total = exchange.started.elapsed();
        exchange.measures.bytes_in = self.bytes_in;
        exchange.measures.bytes_out = self.bytes_out;
        if let Some(error) = &self.cut {
            note(exchange, error);
        } else if !self.complete && exchange.failure.is_none() {
            exchange.failure = Some(Failure::Cancelled);
        }
    }
}

fn record(worker: &Worker, route: Option<&RouteHandle>, exchange: &Exchange) {
    let metrics = route.map_or(&worker.unrouted, |route| &route.metrics);
    let status = exchange.response.as_ref().map(|response| response.status);
    let measures = &exchange.measures;
    let protocol = exchange.connection.protocol;
    metrics.finished(protocol, status, measures.total, measures.bytes_in, measures.bytes_out);
    worker.access_log.borrow_mut().record(exchange);
}

/// The most that is offered at a time on a stream of its own: the client has the body timeout to take it.
const OFFER: usize = 64 << 10;
/// From this size on the last byte of a piece is offered by itself. A connection takes a whole piece as soon as there is
/// room for a byte of it; only the next one that it asks for tells that there was room for all.
const LARGE: usize = 16 << 10;

/// Upstreams' responses come in pieces of at most this size. What is larger was held whole, and is counted by whoever did.
const LARGEST_READ: usize = 128 << 10;

/// What of a piece should not be offered yet to a stream of its own.
fn keep_back(data: &mut Bytes) -> Bytes {
    match data.len() {
        length if length > OFFER => data.split_off(OFFER),
        length if length > LARGE => data.split_off(length - 1),
        _ => Bytes::new(),
    }
}

/// A response body that knows when it has been given to the client in full.
struct ResponseBody {
    inner: Body,
    /// What is left of a piece that was too large to be offered at once.
    rest: Bytes,
    /// Names that were taken off the head, or set there.
    barred: SmallVec<[HeaderName; 2]>,
    /// What of it waits for the client.
    held: Held,
    completion: Completion,
}

impl ResponseBody {
    fn strip(&self, trailers: &mut HeaderMap) {
        headers::strip_trailers(trailers, Direction::Response);
        if let Some(route) = &self.completion.route {
            headers::strip_barred(trailers, &self.barred, &route.config.response_headers);
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut data = if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(mut other) => {
                        if let Some(trailers) = other.trailers_mut() {
                            self.strip(trailers);
                        }
                        return Poll::Ready(Some(Ok(other)));
                    }
                },
                other => return Poll::Ready(other),
            }
        } else {
            std::mem::take(&mut self.rest)
        };
        if self.completion.multiplexed {
            self.rest = keep_back(&mut data);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let polled = this.poll_inner(cx);
        if let Some(stream) = this.completion.stream() {
            if polled.is_ready() {
                stream.offered(Instant::now());
            } else {
                stream.taken();
            }
        }
        let piece = match &polled {
            // Over HTTP/2 what was offered is counted by the connection, which knows when it is written.
            Poll::Ready(Some(Ok(_))) if this.completion.stream().is_some() => this.rest.len(),
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len) + this.rest.len(),
            _ => 0,
        };
        this.held.set(if piece <= LARGEST_READ { piece } else { 0 });
        let frame = ready!(polled);
        match &frame {
            None => this.completion.complete.set(true),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = &this.completion.response_bytes;
                    bytes.set(bytes.get() + data.len() as u64);
                }
                // The connection may stop polling here: nothing more will come.
                if this.is_end_stream() {
                    this.completion.complete.set(true);
                }
            }
            Some(Err(error)) => *this.completion.cut.borrow_mut() = Some(error.clone()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Notes an error on the exchange, unless an earlier one is there.
pub fn note(exchange: &mut Exchange, error: &Error) {
    if exchange.error.is_none() {
        exchange.failure = Some(match error.kind() {
            ErrorKind::ClientGone => Failure::Cancelled,
            kind => kind.failure(),
        });
        exchange.error = Some(error.clone());
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
}
