//! A request's body over HTTP/1, which may be answered before it is whole, and what then becomes of the connection.
//!
//! The next request stands behind this one's body. So the connection stays only if what is left of the body is taken in,
//! and a client is told with the head of the response where it will not be (RFC 9112 section 9.6): else it sends its next
//! request into a connection that is being closed. hyper decides about that once the head is written. Here it is decided
//! before, and by holding on to the body hyper is held to it:
//!
//! - What is declared and small is taken in, for as long as a body may take. The connection stays.
//! - What was refused, and is not that small or of unknown length, is waited for a moment: most clients have sent it by then.
//! - For everything else the response says `Connection: close`. The body is taken in while the response is written,
//!   because some clients read nothing before they have sent everything, and for a moment afterwards: see `linger`.
//! - A client that waits for a 100 (RFC 9110 section 10.1.1) and gets another answer may send the body or not, and the two
//!   can't be told apart. So its connection ends.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::activity::{Activity, Ending, Receiving};
use super::connections::Connections;
use super::linger::{LINGER, MOST_OF_CONNECTION, take_in};
use crate::error::Error;
use crate::memory::ReceiveWindow;
use crate::message::headers;
use crate::message::{Body, Head};

/// So much is taken in for the sake of the connection alone.
const SMALL: u64 = 64 << 10;
/// How long a response may be held back for a body that is perhaps nearly here, and how much of it is taken for that.
const MOMENT: Duration = Duration::from_millis(100);
const NEARLY: u64 = 1 << 20;

/// What is known of a body.
pub(super) struct Upload {
    connections: Rc<Connections>,
    activity: Rc<Activity>,
    /// How long it may take once it is of no use to anybody.
    patience: Duration,
    /// Whether the client waits for a 100, and whether anybody has asked for the body since, which sends one.
    expects: bool,
    asked: Cell<bool>,
    /// Whether the client wants to go on with the connection.
    persistent: bool,
    /// What Content-Length says is still to come.
    left: Cell<Option<u64>>,
    state: Cell<UploadState>,
    /// Whether its reader has let go of it, and how much was taken in since.
    refused: Cell<bool>,
    taken: Cell<u64>,
    changed: Notify,
    /// Whether the connection ends with the response, and whether the response is over.
    closing: Cell<bool>,
    answered: Cell<bool>,
    discarding: RefCell<Option<AbortHandle>>,
}

#[derive(Clone, Copy, PartialEq)]
enum UploadState {
    Coming,
    Whole,
    Broken,
}

impl Upload {
    /// Watches the body of a request with this head, if it has one.
    pub(super) fn watch(
        head: &Head,
        incoming: Incoming,
        window: &Rc<ReceiveWindow>,
        connections: &Rc<Connections>,
        activity: &Rc<Activity>,
        patience: Duration,
    ) -> (Body, Option<Rc<Self>>) {
        if incoming.is_end_stream() {
            return (Body::empty(), None);
        }
        let upload = Rc::new(Self {
            connections: connections.clone(),
            activity: activity.clone(),
            patience,
            expects: head.version == Version::HTTP_11 && head.fields.contains_key(http::header::EXPECT),
            asked: Cell::new(false),
            persistent: headers::is_persistent(head.version, &head.fields),
            left: Cell::new(incoming.size_hint().exact()),
            state: Cell::new(UploadState::Coming),
            refused: Cell::new(false),
            taken: Cell::new(0),
            changed: Notify::new(),
            closing: Cell::new(false),
            answered: Cell::new(false),
            discarding: RefCell::new(None),
        });
        (Body::boxed(Watched { body: Body::downstream(incoming, window), upload: upload.clone() }), Some(upload))
    }

    /// Whether the connection can stay after a response with this status; to be asked when its head is ready.
    pub(super) async fn stays(&self, status: StatusCode) -> bool {
        self.persistent && self.will_be_whole(status).await
    }

    /// The connection ends with the response.
    pub(super) fn close(&self) {
        self.closing.set(true);
        if self.answered.get() {
            self.stop();
        }
    }

    async fn will_be_whole(&self, status: StatusCode) -> bool {
        match self.state.get() {
            UploadState::Whole => return true,
            UploadState::Broken => return false,
            UploadState::Coming => {}
        }
        // RFC 9110 section 15.5.9: who was too slow starts anew.
        if status == StatusCode::REQUEST_TIMEOUT || (self.expects && !self.asked.get()) {
            return false;
        }
        match self.left.get() {
            Some(left) if left <= SMALL => return true,
            Some(left) if left > NEARLY => return false,
            // It is on its way upstream; how that will end, and when, nobody knows.
            _ if !self.refused.get() => return false,
            _ => {}
        }
        let nearly = async {
            while self.state.get() == UploadState::Coming && self.taken.get() <= NEARLY {
                self.changed.notified().await;
            }
        };
        let _ = tokio::time::timeout(MOMENT, nearly).await;
        self.state.get() == UploadState::Whole
    }

    /// The response was given to the connection in full, or was given up.
    pub(super) fn answered(&self) {
        self.answered.set(true);
        if self.closing.get() {
            self.stop();
        }
    }

    /// hyper waits for the end of a body that somebody wants before it closes the connection.
    fn stop(&self) {
        if let Some(task) = self.discarding.take() {
            task.abort();
        }
    }

    fn poll(&self, body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.asked.set(true);
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        match &frame {
            None => self.state.set(UploadState::Whole),
            Some(Err(_)) => self.state.set(UploadState::Broken),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left.set(self.left.get().map(|left| left.saturating_sub(length)));
                if self.refused.get() {
                    self.taken.set(self.taken.get() + length);
                }
                if frame.is_trailers() || body.is_end_stream() {
                    self.state.set(UploadState::Whole);
                }
            }
        }
        if self.refused.get() {
            self.changed.notify_one();
        }
        Poll::Ready(frame)
    }

    /// Takes in what nobody wants, within limits. What is left when it is dropped makes hyper close the connection.
    async fn discard(self: Rc<Self>, mut rest: Body, _receiving: Receiving) {
        rest.discard();
        let small = self.left.get().is_some_and(|left| left <= SMALL);
        let (patience, most) = if small { (self.patience, SMALL) } else { (LINGER, MOST_OF_CONNECTION) };
        // The connection is waited for while it is of use.
        let waits = || small && self.activity.ending() < Ending::Drain;
        let next = async || {
            let frame = poll_fn(|cx| self.poll(&mut rest, cx)).await?.ok()?;
            // Nothing comes after what made it whole.
            (self.state.get() == UploadState::Coming).then(|| frame.data_ref().map_or(0, Bytes::len))
        };
        take_in(patience, most, waits, next).await;
    }
}

/// The body for whoever reads it.
struct Watched {
    body: Body,
    upload: Rc<Upload>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        this.upload.poll(&mut this.body, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let upload = &self.upload;
        if upload.state.get() != UploadState::Coming {
            return;
        }
        upload.refused.set(true);
        // To ask for it would send the 100.
        let unasked = upload.expects && !upload.asked.get();
        let over = upload.closing.get() && upload.answered.get();
        if unasked || over || upload.connections.is_stopping() {
            return;
        }
        let (rest, receiving) = (std::mem::take(&mut self.body), Activity::receive(&upload.activity));
        let task = tokio::task::spawn_local(upload.clone().discard(rest, receiving));
        *upload.discarding.borrow_mut() = Some(task.abort_handle());
    }
}
