//! The two records of one exchange: each is written once, whoever gives up in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use ::audit::ledger::{AppendError, Entry};
use ::audit::record::{Bytes, RequestId};
use ::audit::time::Timestamp;
use futures_util::future::join;
use http::StatusCode;

use super::describe::{self, End};
use super::route::AuditedRoute;
use super::unfinished::Counted;
use crate::error::Error;
use crate::exchange::SharedExchange;
use crate::message::RequestProgress;

/// A record on its way. It is kept with the exchange, so that whoever gives the exchange up can have it finished: what was
/// handed to the ledger must not be handed to it again.
type Append = Pin<Box<dyn Future<Output = Result<(), AppendError>>>>;

/// The records of an exchange of an audited route. Dropped before both are written, it has the rest written behind it.
pub struct Records {
    parts: Rc<Parts>,
    step: Step,
    /// Bytes that were given to the client.
    sent: u64,
}

/// What records are made of.
struct Parts {
    route: Rc<AuditedRoute>,
    exchange: SharedExchange,
    request: Rc<RequestProgress>,
    id: RequestId,
    /// The worker does not end before.
    _unfinished: Counted,
}

enum Step {
    /// Nothing is written.
    Before,
    Opening(Append),
    /// The opening record is written, or missed and passed by.
    Open,
    /// The exchange was refused because its opening record was not confirmed in time. It may be written all the same, and
    /// has its end then; nobody waits for that.
    GivenUp,
    Closing(Append),
    Done,
}

impl Records {
    /// Of an exchange that was found to be on an audited route.
    pub async fn begin(route: &Rc<AuditedRoute>, exchange: &SharedExchange, request: Rc<RequestProgress>) -> Box<Self> {
        let (route, exchange) = (route.clone(), exchange.clone());
        let id = exchange.access(|exchange| describe::request_id(exchange)).await;
        let unfinished = route.unfinished.begin();
        let parts = Rc::new(Parts { route, exchange, request, id, _unfinished: unfinished });
        Box::new(Self { parts, step: Step::Before, sent: 0 })
    }

    /// Has the opening record confirmed: the request is about to go to the exchange's upstream. Done once; a request that is
    /// sent again has it.
    ///
    /// # Errors
    /// It is not confirmed, and the request may not be sent.
    pub async fn open(&mut self) -> Result<(), Error> {
        if matches!(self.step, Step::Before) {
            self.step = Step::Opening(Box::pin(self.parts.clone().open()));
        }
        poll_fn(|cx| self.poll_opened(cx)).await
    }

    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Step::Opening(append) = &mut self.step else { return Poll::Ready(Ok(())) };
        let Err(error) = ready!(append.as_mut().poll(cx)) else {
            self.step = Step::Open;
            return Poll::Ready(Ok(()));
        };
        let refused = self.parts.route.trail.missed(error);
        self.step = match (&refused, error) {
            (Ok(()), _) => Step::Open,
            (Err(_), AppendError::TimedOut) => Step::GivenUp,
            (Err(_), _) => Step::Done,
        };
        Poll::Ready(refused)
    }

    /// Whether no closing record is waited for: the exchange was refused for want of its opening one.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.step, Step::GivenUp | Step::Done)
    }

    /// The status of the response.
    pub(super) async fn status(&self) -> Option<StatusCode> {
        self.parts.exchange.access(|exchange| exchange.response.as_ref().map(|response| response.status)).await
    }

    /// Counts bytes that the client is given.
    pub(super) fn sends(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Whether the closing record is made, so that no other may be.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match &mut self.step {
                Step::Before => self.step = Step::Closing(Box::pin(self.parts.clone().both(self.sent, End::Ready))),
                Step::Open => self.step = Step::Closing(Box::pin(self.parts.clone().close(self.sent, End::Ready))),
                // Nobody closes what is being opened: opening is waited for.
                Step::Opening(_) => drop(ready!(self.poll_opened(cx))),
                Step::Closing(append) => {
                    let closed = ready!(append.as_mut().poll(cx));
                    self.step = Step::Done;
                    return Poll::Ready(closed.or_else(|error| self.parts.route.trail.missed(error)));
                }
                Step::GivenUp | Step::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Parts {
    async fn open(self: Rc<Self>) -> Result<(), AppendError> {
        let entry = self.opening(true).await;
        self.route.trail.ledger().append(entry).await
    }

    async fn close(self: Rc<Self>, sent: u64, end: End) -> Result<(), AppendError> {
        let entry = self.closing(sent, end).await;
        self.route.trail.ledger().append(entry).await
    }

    /// Both records of an exchange that goes nowhere, in one group of the ledger.
    async fn both(self: Rc<Self>, sent: u64, end: End) -> Result<(), AppendError> {
        let (opening, closing) = (self.opening(false).await, self.closing(sent, end).await);
        let ledger = self.route.trail.ledger();
        let (opened, closed) = join(ledger.append(opening), ledger.append(closing)).await;
        opened.and(closed)
    }

    async fn opening(&self, goes_upstream: bool) -> Entry {
        let route = &*self.route;
        let make = |exchange: &mut crate::exchange::Exchange| {
            let upstream = exchange.upstream.as_deref().filter(|_| goes_upstream);
            let opening = describe::opening(route, exchange, self.id, upstream);
            Entry::opening(now(), describe::caller(route, exchange), &opening)
        };
        self.exchange.access(make).await
    }

    async fn closing(&self, sent: u64, end: End) -> Entry {
        let route = &*self.route;
        let bytes = Bytes::new(self.request.bytes.get(), sent);
        let make = |exchange: &mut crate::exchange::Exchange| {
            let closing = describe::closing(route, exchange, self.id, bytes, end);
            Entry::closing(route.declared.retention, now(), describe::caller(route, exchange), &closing)
        };
        self.exchange.access(make).await
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Done);
        if matches!(step, Step::Done) || self.parts.route.unfinished.is_stopping() {
            return;
        }
        let (parts, sent) = (self.parts.clone(), self.sent);
        // Nobody is there any more who could be refused: what the ledger can't take it counts.
        tokio::task::spawn_local(async move {
            let _ = match step {
                Step::Before => parts.both(sent, End::GivenUp).await,
                Step::Opening(opening) => {
                    let _ = opening.await;
                    parts.close(sent, End::GivenUp).await
                }
                Step::Open | Step::GivenUp => parts.close(sent, End::GivenUp).await,
                Step::Closing(closing) => closing.await,
                Step::Done => Ok(()),
            };
        });
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
