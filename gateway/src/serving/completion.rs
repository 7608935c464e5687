//! The end of an exchange: exactly one log record and one set of metrics, however it ended.
//!
//! A [`Completion`] is made before anything can fail and lives in whatever keeps the exchange alive: first the
//! pipeline's own frame, later the response body. When it is dropped (the response is complete, was cut, or the
//! client left), the exchange is over.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{RouteHandle, Services};
use crate::audit::Records;
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::{Exchange, SharedExchange};
use crate::message::headers::{self, Direction};
use crate::message::{Body, FieldMap, Interim, Metered, RequestProgress, content};
use crate::plugin::chain::ChainRun;
use crate::telemetry::metrics::Finished;

/// Finishes an exchange when it is dropped.
pub struct Completion {
    services: Rc<Services>,
    exchange: SharedExchange,
    /// Bytes received from the client, and its mistakes while sending, where it sends a body.
    pub request: Option<Rc<RequestProgress>>,
    /// Where responses before the response go.
    pub interim: Interim,
    /// The chain's run, once there is one: for its log phases.
    pub run: Option<ChainRun>,
    /// The matched route, for its metrics.
    pub route: Option<Rc<RouteHandle>>,
    /// Its records in the audit trail, until they go with the response's body.
    pub audit: Option<Box<Records>>,
    response_bytes: Cell<u64>,
    complete: Cell<bool>,
    /// What cut the response short.
    cut: RefCell<Option<Error>>,
    in_flight: Option<InFlightGuard>,
}

/// Counts an exchange until its record is written, so that a drain waits for that.
struct InFlightGuard(Rc<Services>);

impl InFlightGuard {
    fn new(services: Rc<Services>) -> Self {
        services.in_flight.set(services.in_flight.get() + 1);
        services.metrics.in_flight().add(1);
        Self(services)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        self.0.metrics.in_flight().add(-1);
    }
}

impl Completion {
    /// Begins an exchange.
    pub fn new(services: Rc<Services>, exchange: SharedExchange, interim: Interim) -> Self {
        Self {
            in_flight: Some(InFlightGuard::new(services.clone())),
            services,
            exchange,
            request: None,
            interim,
            run: None,
            route: None,
            audit: None,
            response_bytes: Cell::new(0),
            complete: Cell::new(false),
            cut: RefCell::new(None),
        }
    }

    /// Ties the end of the exchange to the end of this response body, whose trailers may not bring what is `barred`.
    pub fn attach(self, method_is_head: bool, status: StatusCode, body: Body, barred: Vec<HeaderName>) -> Body {
        // These never have content, so nobody will poll the body.
        if method_is_head || !content::is_allowed(status) {
            self.complete.set(true);
            return Body::empty();
        }
        if body.is_end_stream() {
            self.complete.set(true);
            return body;
        }
        Body::metered(ResponseBody { inner: body, barred, completion: self })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let services = self.services.clone();
        let in_flight = self.in_flight.take();
        let outcome = Outcome {
            bytes_in: self.request.as_ref().map_or(0, |request| request.bytes.get()),
            bytes_out: self.response_bytes.get(),
            cut: self.cut.take(),
            complete: self.complete.get(),
        };
        let route = self.route.take();
        let run = self.run.take().filter(|run| run.logs());
        // The common case, on the spot: no plugin wants to hear of it, and nobody else works on the exchange.
        if run.is_none()
            && let Some(mut slot) = self.exchange.try_lock()
            && let Some(exchange) = slot.as_deref_mut()
        {
            outcome.note(exchange);
            return record(&services, route.as_deref(), exchange);
        }
        if services.stopping.get() {
            return; // The runtime is being torn down after the drain's deadline: no task would run any more.
        }
        let exchange = self.exchange.clone();
        tokio::task::spawn_local(async move {
            if let Some(exchange) = exchange.lock().await.as_deref_mut() {
                outcome.note(exchange);
            }
            if let Some(run) = run {
                run.log().await;
            }
            if let Some(exchange) = exchange.lock().await.as_deref() {
                record(&services, route.as_deref(), exchange);
            }
            drop(in_flight);
        });
    }
}

/// How an exchange ended.
struct Outcome {
    bytes_in: u64,
    bytes_out: u64,
    cut: Option<Error>,
    complete: bool,
}

impl Outcome {
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

fn record(services: &Services, route: Option<&RouteHandle>, exchange: &Exchange) {
    let metrics = route.map_or(&services.unrouted, |route| &route.metrics);
    let status = exchange.response.as_ref().map(|response| response.status);
    let measures = &exchange.measures;
    metrics.finished(&Finished {
        protocol: exchange.connection.protocol,
        status,
        took: measures.total,
        bytes_in: measures.bytes_in,
        bytes_out: measures.bytes_out,
        error: exchange.error.as_ref(),
        trace: exchange.trace.as_ref(),
    });
    services.access_log.borrow_mut().record(exchange, route.map(|route| &route.config.access_log));
    if exchange.trace.as_ref().is_some_and(|trace| trace.record.is_some()) {
        services.spans.borrow_mut().record(exchange, route);
    }
}

/// A response body that knows when it has been given to the client in full.
struct ResponseBody {
    inner: Body,
    /// Names that were taken off the head, or set there.
    barred: Vec<HeaderName>,
    completion: Completion,
}

impl ResponseBody {
    fn strip(&self, trailers: &mut FieldMap) {
        headers::strip_trailers(trailers, Direction::Response);
        if let Some(route) = &self.completion.route {
            headers::strip_barred(trailers, &self.barred, &route.config.response_headers);
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let mut polled = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &mut polled {
            None => this.completion.complete.set(true),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = &this.completion.response_bytes;
                    bytes.set(bytes.get() + data.len() as u64);
                } else if let Some(trailers) = frame.trailers_mut() {
                    FieldMap::edit(trailers, |trailers| this.strip(trailers));
                }
                // The connection may stop polling here: nothing more will come.
                if this.inner.is_end_stream() {
                    this.completion.complete.set(true);
                }
            }
            Some(Err(error)) => *this.completion.cut.borrow_mut() = Some(error.clone()),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Metered for ResponseBody {
    fn undelivered(self: Pin<&mut Self>, bytes: u64) {
        let completion = &self.completion;
        completion.complete.set(false);
        completion.response_bytes.set(completion.response_bytes.get().saturating_sub(bytes));
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
