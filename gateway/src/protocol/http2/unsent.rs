//! What an HTTP/2 connection holds of its responses because the client doesn't take it.
//!
//! h2 buffers for every stream as far as the client's windows go, and clients may open windows of 2 GiB. So the pieces of
//! all responses of a connection are counted until they are written. A connection that holds much is given the next piece of
//! a response only when it has written that response's last one: a response that nobody reads costs one piece, and those
//! that are read go on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::memory::Credit;

/// From this number of bytes on a connection holds much. It is what a fast client on a long way has under way.
const MUCH: usize = 1 << 20;
/// A response that is one piece of up to this size is not worth counting.
const LITTLE: usize = 16 << 10;

/// The responses of one connection.
pub(super) struct Unsent {
    memory: Rc<Credit>,
    held: Cell<usize>,
    /// Responses whose next piece waits.
    waiting: RefCell<Vec<Rc<Response>>>,
}

/// What is held of one of them.
struct Response {
    connection: Rc<Unsent>,
    held: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Unsent {
    /// Of a connection that holds nothing.
    pub(super) fn new(memory: Rc<Credit>) -> Rc<Self> {
        Rc::new(Self { memory, held: Cell::new(0), waiting: RefCell::default() })
    }

    /// Counts one more response.
    pub(super) fn response(self: &Rc<Self>) -> Pieces {
        Pieces { connection: self.clone(), response: None }
    }

    fn is_much(&self) -> bool {
        self.held.get() >= MUCH || self.memory.is_overdrawn()
    }
}

impl Response {
    fn add(self: &Rc<Self>, bytes: Bytes) -> Piece {
        let size = bytes.len();
        self.held.set(self.held.get() + size);
        self.connection.held.set(self.connection.held.get() + size);
        self.connection.memory.take(size);
        Piece { bytes, counted: Some((self.clone(), size)) }
    }

    fn written(&self, size: usize) {
        let connection = &self.connection;
        self.held.set(self.held.get() - size);
        connection.held.set(connection.held.get() - size);
        connection.memory.give(size);
        if !connection.is_much() {
            connection.waiting.take().iter().for_each(|response| response.wake());
        } else if self.held.get() == 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether its next piece has to wait; then the task is woken when it has not.
    fn waits(self: &Rc<Self>, cx: &Context<'_>) -> bool {
        if self.held.get() == 0 || !self.connection.is_much() {
            return false;
        }
        if self.waker.replace(Some(cx.waker().clone())).is_none() {
            let mut waiting = self.connection.waiting.borrow_mut();
            waiting.retain(|known| !Rc::ptr_eq(known, self));
            waiting.push(self.clone());
        }
        true
    }
}

/// A piece of a response, counted until it is written or its stream is gone.
pub(super) struct Piece {
    bytes: Bytes,
    counted: Option<(Rc<Response>, usize)>,
}

impl Piece {
    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some((response, size)) = self.counted.take() {
            response.written(size);
        }
    }
}

/// The pieces of one response.
pub(super) struct Pieces {
    connection: Rc<Unsent>,
    response: Option<Rc<Response>>,
}

impl Pieces {
    /// Ready when the next piece may be made; else the task is woken when it may.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        match &self.response {
            Some(response) if response.waits(cx) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// A piece, which may be the whole response.
    pub(super) fn piece(&mut self, bytes: Bytes, last: bool) -> Piece {
        if bytes.is_empty() || last && self.response.is_none() && bytes.len() <= LITTLE {
            return Piece { bytes, counted: None };
        }
        let connection = &self.connection;
        let new = || {
            let (held, waker) = Default::default();
            Rc::new(Response { connection: connection.clone(), held, waker })
        };
        self.response.get_or_insert_with(new).add(bytes)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(response) = &self.response {
            response.waker.take();
            self.connection.waiting.borrow_mut().retain(|known| !Rc::ptr_eq(known, response));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    const PIECE: usize = 64 << 10;

    /// What comes of an endless response until it waits.
    fn pieces(response: &mut Pieces) -> Vec<Piece> {
        let cx = Context::from_waker(Waker::noop());
        let mut pieces = Vec::new();
        while response.poll_ready(&cx).is_ready() {
            pieces.push(response.piece(Bytes::from(vec![0; PIECE]), false));
        }
        pieces
    }

    fn connection(limit: usize) -> (Rc<Unsent>, Rc<Credit>) {
        let memory = Credit::new(Budget::new(limit));
        (Unsent::new(memory.clone()), memory)
    }

    #[test]
    fn responses_that_nobody_reads_cost_a_piece_each_once_the_connection_holds_much() {
        let (connection, memory) = connection(1 << 30);
        let mut bodies: Vec<Pieces> = (0..100).map(|_| connection.response()).collect();
        let held: Vec<Vec<Piece>> = bodies.iter_mut().map(pieces).collect();
        assert_eq!(held[0].len(), MUCH / PIECE);
        assert!(held[1..].iter().all(|pieces| pieces.len() == 1));
        assert_eq!(connection.held.get(), MUCH + 99 * PIECE);
        drop(held);
        assert_eq!(connection.held.get(), 0);
        memory.sweep();
        assert_eq!(memory.budget().held(), 0);
    }

    #[test]
    fn one_that_is_read_goes_on_beside_those_that_are_not() {
        let (connection, _) = connection(1 << 30);
        let mut idle: Vec<Pieces> = (0..100).map(|_| connection.response()).collect();
        let _held: Vec<Vec<Piece>> = idle.iter_mut().map(pieces).collect();
        let mut read = connection.response();
        for _ in 0..1000 {
            assert_eq!(pieces(&mut read).len(), 1);
        }
    }

    #[test]
    fn one_that_waits_is_woken_when_its_piece_is_written_or_there_is_room_again() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        struct Wakes(AtomicUsize);
        impl std::task::Wake for Wakes {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (connection, _) = connection(1 << 30);
        let (mut first, mut second) = (connection.response(), connection.response());
        let (many, one) = (pieces(&mut first), pieces(&mut second));
        let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
        let waker = Waker::from(wakes.clone());
        let cx = Context::from_waker(&waker);
        assert!(second.poll_ready(&cx).is_pending());
        drop(one);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let one = pieces(&mut second);
        assert!(second.poll_ready(&cx).is_pending());
        drop(many);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
        drop(one);
    }

    #[test]
    fn where_the_budget_is_used_up_a_piece_is_much() {
        let (connection, memory) = connection(1000);
        memory.take(2000);
        assert_eq!(pieces(&mut connection.response()).len(), 1);
        memory.give(2000);
    }
}
