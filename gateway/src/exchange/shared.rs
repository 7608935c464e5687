//! The exchange while several parties of one worker work on it: the request's path, the body of its request, that of its
//! response, the log. One at a time has it, and nobody leaves the worker, so having it takes no atomic operation.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use tokio::sync::Notify;

use super::Exchange;

/// The exchange behind a lock. A plugin call takes the box out and puts it back, also when it is dropped half-way; whoever
/// gets the lock finds `Some`.
#[derive(Clone)]
pub struct SharedExchange(Rc<Place>);

struct Place {
    exchange: Cell<Option<Box<Exchange>>>,
    taken: Cell<bool>,
    /// How many wait for it.
    waiting: Cell<usize>,
    given_back: Notify,
}

impl SharedExchange {
    /// Shares an exchange.
    pub fn new(exchange: Box<Exchange>) -> Self {
        Self(Rc::new(Place {
            exchange: Cell::new(Some(exchange)),
            taken: Cell::new(false),
            waiting: Cell::new(0),
            given_back: Notify::new(),
        }))
    }

    /// The exchange, unless somebody has it.
    pub fn try_lock(&self) -> Option<ExchangeGuard<'_>> {
        let place = &*self.0;
        (!place.taken.replace(true)).then(|| ExchangeGuard { place, exchange: place.exchange.take() })
    }

    /// The exchange, as soon as nobody else has it. Waits only while a plugin that has it is itself waiting. Who waits comes
    /// before who gives it back and wants it again: a body that is read piece by piece would keep the response's head
    /// waiting until its end.
    pub async fn lock(&self) -> ExchangeGuard<'_> {
        if self.0.waiting.get() == 0
            && let Some(guard) = self.try_lock()
        {
            return guard;
        }
        let _waiting = Waiting::new(&self.0.waiting);
        loop {
            self.0.given_back.notified().await;
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
    }

    /// Works on the exchange, as soon as nobody else does.
    pub async fn access<T>(&self, work: impl FnOnce(&mut Exchange) -> T) -> T {
        let mut guard = self.lock().await;
        // A plugin call puts the exchange back before it gives the lock up, also when it traps or is dropped.
        #[allow(clippy::expect_used)]
        work(guard.as_deref_mut().expect("the exchange is in its place"))
    }
}

/// Counts one who waits, also one who gives up.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The exchange, for as long as this is held.
pub struct ExchangeGuard<'a> {
    place: &'a Place,
    exchange: Option<Box<Exchange>>,
}

impl Deref for ExchangeGuard<'_> {
    type Target = Option<Box<Exchange>>;

    fn deref(&self) -> &Self::Target {
        &self.exchange
    }
}

impl DerefMut for ExchangeGuard<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.exchange
    }
}

impl Drop for ExchangeGuard<'_> {
    fn drop(&mut self) {
        self.place.exchange.set(self.exchange.take());
        self.place.taken.set(false);
        // Who is told and does not wait any more passes it on (`Notified`).
        if self.place.waiting.get() > 0 {
            self.place.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use http::Method;
    use http::uri::PathAndQuery;

    use super::*;
    use crate::exchange::{ConnectionInfo, Protocol, RequestHead};
    use crate::message::FieldMap;
    use crate::message::headers::RequestId;

    fn shared() -> SharedExchange {
        let request =
            RequestHead::new(Method::GET, "https", "a.example".into(), PathAndQuery::from_static("/"), FieldMap::new());
        let connection = ConnectionInfo::local(Protocol::Http2);
        let exchange = Exchange::new(RequestId::random(), connection, [192, 0, 2, 1].into(), request);
        SharedExchange::new(Box::new(exchange))
    }

    #[test]
    fn who_takes_the_exchange_again_and_again_keeps_nobody_waiting() {
        let shared = shared();
        let mut cx = Context::from_waker(Waker::noop());
        let held = shared.try_lock().expect("it is free");
        let mut response = pin!(shared.lock());
        assert!(response.as_mut().poll(&mut cx).is_pending());
        drop(held);
        let mut next_piece = pin!(shared.lock());
        assert!(next_piece.as_mut().poll(&mut cx).is_pending(), "it has had its turn");
        let Poll::Ready(guard) = response.as_mut().poll(&mut cx) else { panic!("it has been given back") };
        drop(guard);
        assert!(next_piece.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_exchange_to_the_next() {
        let shared = shared();
        let mut cx = Context::from_waker(Waker::noop());
        let held = shared.try_lock().expect("it is free");
        let (mut told, mut late) = (Box::pin(shared.lock()), pin!(shared.lock()));
        assert!(told.as_mut().poll(&mut cx).is_pending());
        drop(held);
        assert!(late.as_mut().poll(&mut cx).is_pending());
        drop(told);
        assert!(late.as_mut().poll(&mut cx).is_ready());
        assert_eq!(shared.0.waiting.get(), 0);
    }

    #[test]
    fn one_at_a_time_has_the_exchange_and_the_next_gets_it_when_it_is_given_back() {
        let shared = shared();
        let mut cx = Context::from_waker(Waker::noop());
        let mut guard = shared.try_lock().expect("it is free");
        assert!(shared.try_lock().is_none());
        let (mut first, mut second, mut third) = (pin!(shared.lock()), pin!(shared.lock()), Box::pin(shared.lock()));
        assert!(third.as_mut().poll(&mut cx).is_pending());
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        guard.as_deref_mut().expect("it is in its place").set_attribute("a", "1".to_owned());
        drop(guard);
        // Was told first, and has left: the next is told instead.
        drop(third);
        let Poll::Ready(guard) = first.as_mut().poll(&mut cx) else { panic!("it has been given back") };
        assert_eq!(guard.as_deref().expect("it is in its place").attribute("a"), Some("1".into()));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(guard);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
}
