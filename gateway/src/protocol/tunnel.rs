//! What all protocols need to hand over a connection or a stream to whoever answered a request for a tunnel: the offer, and the
//! tie between the tunnel and the task that its bytes come from.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use tokio::sync::oneshot;

use crate::message::{OnUpgrade, Tunnel};

/// Which response accepts a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// 101, to Upgrade (RFC 9110 section 7.8).
    Switching,
    /// Any success, to CONNECT (RFC 9110 section 9.3.6).
    Success,
}

/// A tunnel that a request may have. Dropped, there is none.
pub(super) struct Offer {
    accepting: Accepting,
    taker: oneshot::Sender<Tunnel>,
}

impl Offer {
    /// An offer, and what goes to the handler with the request.
    pub(super) fn new(accepting: Accepting) -> (Self, OnUpgrade) {
        let (taker, taken) = oneshot::channel();
        (Self { accepting, taker }, Box::pin(async move { taken.await.ok() }))
    }

    /// Whether a response of this status accepts it, and somebody waits for the tunnel.
    pub(super) fn is_accepted_by(&self, status: StatusCode) -> bool {
        let accepts = match self.accepting {
            Accepting::Switching => status == StatusCode::SWITCHING_PROTOCOLS,
            Accepting::Success => status.is_success(),
        };
        accepts && !self.taker.is_closed()
    }

    /// The response has gone out. A tunnel that nobody waits for any more is dropped.
    pub(super) fn hand_over(self, tunnel: Tunnel) {
        let _ = self.taker.send(tunnel);
    }
}

/// How it stands between the two ends of a tie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The tunnel is over. Whether it was closed in order: we have said that we are done.
    Over { closed: bool },
    /// Its connection or stream has ended.
    Cut,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Tie {
    state: Cell<State>,
    /// Of the task that holds it.
    holder: RefCell<Option<Waker>>,
    /// Of whoever waits to read or to write.
    users: RefCell<[Option<Waker>; 2]>,
}

/// The end of the connection's or stream's task. Dropped, it cuts the tunnel.
pub(super) struct Held(Rc<Tie>);

/// The tunnel's end. Dropped, it tells the task.
pub(super) struct Tied {
    tie: Rc<Tie>,
    /// Whether our side was closed in order.
    pub(super) closed: bool,
}

/// What a user of a tunnel waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
}

/// Ties a tunnel to a task.
pub(super) fn tie() -> (Held, Tied) {
    let tie = Rc::new(Tie::default());
    (Held(tie.clone()), Tied { tie, closed: false })
}

impl Held {
    /// Ready when the tunnel is over: with whether it was closed in order.
    pub(super) fn poll_over(&self, cx: &Context<'_>) -> Poll<bool> {
        if let State::Over { closed } = self.0.state.get() {
            return Poll::Ready(closed);
        }
        *self.0.holder.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.state.get() == State::Open {
            self.0.state.set(State::Cut);
            self.0.users.take().into_iter().flatten().for_each(Waker::wake);
        }
    }
}

impl Tied {
    /// Fails where the connection has ended. Otherwise the task is woken when that happens.
    pub(super) fn check(&self, side: Side, cx: &Context<'_>) -> io::Result<()> {
        if self.tie.state.get() == State::Cut {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection of the tunnel has ended"));
        }
        let user = &mut self.tie.users.borrow_mut()[side as usize];
        if !user.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *user = Some(cx.waker().clone());
        }
        Ok(())
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        if self.tie.state.get() == State::Open {
            self.tie.state.set(State::Over { closed: self.closed });
            if let Some(holder) = self.tie.holder.take() {
                holder.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests;
