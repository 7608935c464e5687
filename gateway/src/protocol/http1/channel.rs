//! A connection's bytes, shared by the connection and the body of the request that runs on it. All is read by whoever wants it,
//! so nothing lies here that nobody has asked for but what came together with something else.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::{StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http1::{Incoming, Outgoing, status_line, write_fields};
use crate::message::{FieldMap, WriteInterim};
use crate::protocol::activity::Activity;
use crate::protocol::tracked::{OverTcp, Tracked};

/// Read at a time at least.
const READ: usize = 4 << 10;
/// From so many bytes of interim responses in front of one response on none is written any more: as much as a head may have
/// upstream.
const MOST_INTERIM: usize = 64 << 10;

/// See the module. The parts are borrowed apart: while a response is written, its body may read the request's.
pub(super) struct Channel<S> {
    stream: RefCell<Tracked<S>>,
    /// What has come and is not read yet.
    pub(super) incoming: RefCell<Incoming>,
    pub(super) outgoing: RefCell<Outgoing>,
    /// The response has begun: nothing may go before it any more.
    pub(super) responding: Cell<bool>,
    /// Bytes of interim responses to the request that runs.
    interim: Cell<usize>,
    activity: Rc<Activity>,
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin> Channel<S> {
    pub(super) fn new(stream: Tracked<S>, activity: Rc<Activity>) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            incoming: RefCell::new(Incoming::new(READ)),
            outgoing: RefCell::default(),
            responding: Cell::new(false),
            interim: Cell::new(0),
            activity,
        })
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.responding.set(false);
        self.interim.set(0);
    }

    /// Reads what has come. 0: the client has said everything.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.incoming.borrow_mut().poll_read(&mut *self.stream.borrow_mut(), cx)
    }

    /// Writes what is to be written.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.borrow_mut().poll_flush(&mut *self.stream.borrow_mut(), cx)
    }

    /// Reads what has come into `buffer`: what lies here first.
    pub(super) fn poll_read_into(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let come = &mut self.incoming.borrow_mut().buffer;
        if come.is_empty() {
            return Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buffer);
        }
        let count = come.len().min(buffer.remaining());
        buffer.put_slice(&come.split_to(count));
        if come.is_empty() {
            // Nothing is put here any more.
            *come = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes to the stream itself, where nothing else is to be written.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    /// Writes what lies in the buffer of TLS.
    pub(super) fn poll_flush_stream(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    /// Says that nothing more will be written.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }

    /// Fails where the client has left while it waits.
    pub(super) fn poll_present(&self, cx: &mut Context<'_>) -> io::Result<()> {
        self.stream.borrow().poll_present(cx)
    }

    /// Gives back all room: nothing runs, and nothing has come for a while.
    pub(super) fn rest(&self) {
        self.outgoing.borrow_mut().shrink();
        self.incoming.borrow_mut().shrink(0);
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(&self) {
        self.stream.borrow().reset();
    }
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin> WriteInterim for Channel<S> {
    fn write(&self, status: StatusCode, fields: FieldMap) -> bool {
        if self.responding.get() || self.interim.get() > MOST_INTERIM {
            return false;
        }
        let mut outgoing = self.outgoing.borrow_mut();
        let before = outgoing.len();
        outgoing.write(|out| {
            status_line(out, Version::HTTP_11, status);
            write_fields(out, &fields);
            out.extend_from_slice(b"\r\n");
        });
        self.interim.set(self.interim.get() + outgoing.len() - before);
        // The connection writes it when it has its next turn, which is this one, unless another task has read it.
        self.activity.wake();
        true
    }
}

/// Reads what a client still sends.
pub(super) struct Rest<S>(pub(super) Rc<Channel<S>>);

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin> AsyncRead for Rest<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, buffer)
    }
}
