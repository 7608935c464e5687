//! A request's body over HTTP/1: whoever reads it reads the connection. It may be answered before it is whole, and this is what
//! then becomes of the connection.
//!
//! The next request stands behind this one's body. So the connection stays only if what is left of the body is taken in,
//! and a client is told with the head of the response where it will not be (RFC 9112 section 9.6): else it sends its next
//! request into a connection that is being closed:
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::channel::Channel;
use super::context::Connection;
use crate::error::{Error, ErrorKind};
use crate::handler::Handler;
use crate::http1::{BodyDecoder, BodyLength, Decoded, Reading};
use crate::memory::{Exhausted, Unread};
use crate::message::{Body, Head};
use crate::protocol::activity::{Activity, Ending, Receiving};
use crate::protocol::connections::Connections;
use crate::protocol::linger::{LINGER, MOST_OF_CONNECTION, take_in};
use crate::protocol::running::Answered;
use crate::protocol::tracked::OverTcp;
use crate::sanitize::{SafeText, safe};

/// So much is taken in for the sake of the connection alone.
const SMALL: u64 = 64 << 10;
/// How long a response may be held back for a body that is perhaps nearly here, and how much of it is taken for that.
const MOMENT: Duration = Duration::from_millis(100);
const NEARLY: u64 = 1 << 20;

/// What is known of a body.
pub(super) struct Upload<S> {
    channel: Rc<Channel<S>>,
    connections: Rc<Connections>,
    activity: Rc<Activity>,
    /// How long it may take once it is of no use to anybody.
    patience: Duration,
    /// Whether the client waits for a 100, and whether anybody has asked for the body since, which sends one.
    expects: bool,
    asked: Cell<bool>,
    /// Whether the client wants to go on with the connection.
    persistent: bool,
    decoder: RefCell<BodyDecoder>,
    state: Cell<UploadState>,
    /// What the client may have sent of it unread.
    unread: RefCell<Unread>,
    /// Somebody waits for more of it.
    awaited: Cell<bool>,
    /// Whether its reader has let go of it, and how much was taken in since.
    refused: Cell<bool>,
    taken: Cell<u64>,
    changed: Notify,
    /// Whether the connection ends with the response, and whether the response is over.
    closing: Cell<bool>,
    answered: Cell<bool>,
    discarding: RefCell<Option<AbortHandle>>,
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadState {
    /// There is more of it.
    Coming,
    /// It is whole.
    Whole,
    /// It has no end that could be found.
    Broken,
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static> Upload<S> {
    /// Watches the body of a request with this head.
    pub(super) fn watch<H: Handler>(
        head: &Head,
        length: BodyLength,
        persistent: bool,
        connection: &Connection<S, H>,
    ) -> (Body, Rc<Self>) {
        let upload = Rc::new(Self {
            channel: connection.channel.clone(),
            connections: connection.server.connections.clone(),
            activity: connection.activity.clone(),
            patience: connection.info.body_timeout,
            expects: head.version == Version::HTTP_11 && head.fields.contains_key(http::header::EXPECT),
            asked: Cell::new(false),
            persistent,
            decoder: RefCell::new(BodyDecoder::new(length, Reading::Strict, connection.limits)),
            state: Cell::new(UploadState::Coming),
            unread: RefCell::new(Unread::begun(connection.window.clone())),
            awaited: Cell::new(false),
            refused: Cell::new(false),
            taken: Cell::new(0),
            changed: Notify::new(),
            closing: Cell::new(false),
            answered: Cell::new(false),
            discarding: RefCell::new(None),
        });
        (Body::boxed(Watched(upload.clone())), upload)
    }

    /// How far it has come.
    pub(super) fn state(&self) -> UploadState {
        self.state.get()
    }

    /// Whether there is more of it.
    pub(super) fn is_coming(&self) -> bool {
        self.state.get() == UploadState::Coming
    }

    /// Whether somebody waits for more of it, and so hears of a client that leaves.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.get()
    }

    /// What Content-Length says is still to come.
    fn left(&self) -> Option<u64> {
        self.decoder.borrow().left()
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
        match self.left() {
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

    /// The connection ends, whatever becomes of this.
    pub(super) fn give_up(&self) {
        if self.is_coming() {
            self.turn(UploadState::Broken);
        }
        self.stop();
    }

    fn stop(&self) {
        if let Some(task) = self.discarding.take() {
            task.abort();
        }
    }

    fn turn(&self, state: UploadState) {
        self.state.set(state);
        self.awaited.set(false);
        self.unread.borrow_mut().awaited();
        // The connection may wait for it, and was not told of its client meanwhile.
        self.activity.wake();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.state.get() {
            UploadState::Coming => {}
            UploadState::Whole => return Poll::Ready(None),
            // Never an end: whoever still reads would take a part for the whole.
            UploadState::Broken => return Poll::Ready(Some(Err(gone("the connection has ended")))),
        }
        self.ask(cx);
        let polled = self.poll_piece(cx);
        self.awaited.set(polled.is_pending());
        // Who reads may be another task. It is told by the socket in place of the connection's, and when it pauses nobody is:
        // from time to time the connection has to look.
        self.activity.unwatch();
        if polled.is_ready() && self.refused.get() {
            self.changed.notify_one();
        }
        polled
    }

    /// Somebody wants the body: a client that waits for a 100 (RFC 9110 section 10.1.1) gets it, unless it has not waited.
    fn ask(&self, cx: &mut Context<'_>) {
        if self.asked.replace(true) || !self.expects || self.channel.responding.get() {
            return;
        }
        if self.channel.incoming.borrow().buffer.is_empty() {
            self.channel.outgoing.borrow_mut().write(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
            // What is not written now the connection writes when it has its turn.
            let _ = self.channel.poll_flush(cx);
            self.activity.wake();
        }
    }

    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let (decoded, is_last) = {
                let decoder = &mut *self.decoder.borrow_mut();
                (decoder.decode(&mut self.channel.incoming.borrow_mut().buffer), decoder.is_ended())
            };
            match decoded {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(self.data(data, is_last))),
                Ok(Decoded::End(trailers)) => {
                    self.turn(UploadState::Whole);
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers.into_map()))));
                }
                Ok(Decoded::Partial) => self.unread.borrow_mut().awaited(),
                Err(malformed) => return self.fail(Error::new(ErrorKind::BadRequest, malformed.text())),
            }
            match ready!(self.channel.poll_read(cx)) {
                Ok(0) => return self.fail(gone("the client closed within the body of its request")),
                Ok(_) => {}
                Err(error) => return self.fail(gone(safe!("reading the request body: ", error))),
            }
        }
    }

    fn data(&self, data: Bytes, is_last: bool) -> Result<Frame<Bytes>, Error> {
        if self.refused.get() {
            self.taken.set(self.taken.get() + data.len() as u64);
        }
        if is_last {
            self.turn(UploadState::Whole);
        } else if !self.unread.borrow_mut().handed_out() {
            self.turn(UploadState::Broken);
            return Err(Exhausted.into());
        }
        Ok(Frame::data(data))
    }

    fn fail(&self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.turn(UploadState::Broken);
        Poll::Ready(Some(Err(error)))
    }

    /// Takes in what nobody wants, within limits. Of what is left then nobody can tell where the next request begins.
    async fn discard(self: Rc<Self>, _receiving: Receiving) {
        self.unread.borrow_mut().discard();
        let small = self.left().is_some_and(|left| left <= SMALL);
        let (patience, most) = if small { (self.patience, SMALL) } else { (LINGER, MOST_OF_CONNECTION) };
        // The connection is waited for while it is of use.
        let waits = || small && self.activity.ending() < Ending::Drain;
        let next = async || {
            let frame = poll_fn(|cx| self.poll(cx)).await?.ok()?;
            // Nothing comes after what made it whole.
            self.is_coming().then(|| frame.data_ref().map_or(0, Bytes::len))
        };
        take_in(patience, most, waits, next).await;
        if self.is_coming() {
            self.turn(UploadState::Broken);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static> Answered for Upload<S> {
    fn answered(&self) {
        self.answered.set(true);
        if self.closing.get() {
            self.stop();
        }
    }
}

fn gone(what: impl Into<SafeText>) -> Error {
    Error::new(ErrorKind::ClientGone, what)
}

/// The body for whoever reads it.
struct Watched<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static>(Rc<Upload<S>>);

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static> HttpBody for Watched<S> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.state() == UploadState::Whole
    }

    fn size_hint(&self) -> SizeHint {
        self.0.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static> Drop for Watched<S> {
    fn drop(&mut self) {
        let upload = &self.0;
        upload.awaited.set(false);
        if !upload.is_coming() {
            return;
        }
        upload.refused.set(true);
        // To ask for it would send the 100.
        let unasked = upload.expects && !upload.asked.get();
        let over = upload.closing.get() && upload.answered.get();
        if unasked || over || upload.connections.is_stopping() {
            return upload.turn(UploadState::Broken);
        }
        let receiving = Activity::receive(&upload.activity);
        let task = tokio::task::spawn_local(upload.clone().discard(receiving));
        *upload.discarding.borrow_mut() = Some(task.abort_handle());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderValue, Method, Uri, header};
    use http_body_util::BodyExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::exchange::{ConnectionInfo, Protocol};
    use crate::handler::Inbound;
    use crate::http1::HeadLimits;
    use crate::memory::{Budget, Credit, ReceiveWindow};
    use crate::message::{FieldMap, Response};
    use crate::model::ListenerLimits;
    use crate::protocol::server::Server;
    use crate::protocol::tracked::Tracked;

    /// A connection whose client waits, and that client.
    async fn connection() -> (Connection<TcpStream, impl Handler>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(local), listener.accept());
        let (stream, peer) = accepted.unwrap();
        let (connections, memory) = (Rc::new(Connections::default()), Credit::new(Budget::new(1 << 20)));
        let activity = connections.add(&ListenerLimits::defaults(), &Rc::default());
        let window = ReceiveWindow::new(memory.clone(), 1, 1);
        let handler = |_: Inbound| async { Response::new(Body::empty()) };
        let info = ConnectionInfo {
            listener: "test".into(),
            peer: peer.into(),
            peer_value: HeaderValue::from_static("127.0.0.1").into(),
            local,
            tls: false,
            sni: None,
            protocol: Protocol::Http1,
            max_fields: 100,
            max_head: 1 << 10,
            body_timeout: Duration::from_secs(60),
        };
        let connection = Connection {
            server: Rc::new(Server::new(connections, memory, handler)),
            info: Arc::new(info),
            channel: Channel::new(Tracked::new(stream, activity.clone()), activity.clone()),
            activity,
            window,
            limits: HeadLimits { bytes: 1 << 10, fields: 100 },
            asked: Cell::new(1),
        };
        (connection, client.unwrap())
    }

    fn head() -> Head {
        let fields = FieldMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("9"))]);
        let (method, target) = (Method::POST.into(), Uri::from_static("/").into());
        Head { method, target, version: Version::HTTP_11, fields, protocol: None }
    }

    #[tokio::test]
    async fn a_body_is_never_taken_for_whole_because_its_connection_ends() {
        let (connection, _client) = connection().await;
        let (mut body, upload) = Upload::watch(&head(), BodyLength::Chunked, true, &connection);
        upload.give_up();
        let error = body.frame().await.expect("no end").expect_err("no piece");
        assert_eq!(error.kind(), ErrorKind::ClientGone);
        assert!(!body.is_end_stream());
    }

    #[tokio::test]
    async fn what_is_left_of_a_body_does_not_keep_its_connection_open() {
        let (connection, _client) = connection().await;
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (body, upload) = Upload::watch(&head(), BodyLength::Exact(9), true, &connection);
                // It is small, and waited for.
                drop(body);
                tokio::task::yield_now().await;
                assert!(upload.is_coming() && Rc::strong_count(&upload) > 1);
                upload.give_up();
                tokio::task::yield_now().await;
                assert_eq!(Rc::strong_count(&upload), 1, "nobody else has it, or its connection");
            })
            .await;
    }
}
