//! HTTP/1.1 and HTTP/1.0: the requests of a connection, one after the other.

mod channel;
mod context;
mod respond;
mod tunnel;
mod upload;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::{Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use self::channel::{Channel, Rest};
use self::context::Connection;
use self::respond::{Closed, Framing};
use self::upload::{Upload, UploadState};
use super::activity::{Activity, Ending};
use super::linger;
use super::paced::Paced;
use super::running::{Answered, Running};
use super::server::Server;
use super::tracked::{OverTcp, Tracked};
use crate::exchange::{ConnectionInfo, Protocol};
use crate::handler::{Handler, Inbound};
use crate::http1::{BodyLength, HeadLimits, Malformed, Reading, RequestHead, Section, parse_request, request_length};
use crate::memory::ReceiveWindow;
use crate::message::{Body, Head, Interim, Response, headers};
use crate::model::Listener;
use crate::telemetry::metrics::ListenerMetrics;

/// What a client may have sent of a body that nobody reads: what came together with what somebody read.
const UNREAD: usize = 64 << 10;

/// Serves one connection until it ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler>(
    server: Rc<Server<H>>,
    listener: &Listener,
    io: Tracked<S>,
    mut info: ConnectionInfo,
    activity: Rc<Activity>,
    metrics: &ListenerMetrics,
) {
    info.protocol = Protocol::Http1;
    let limits = HeadLimits { bytes: listener.limits.header_bytes, fields: listener.limits.header_count };
    let channel = Channel::new(io, activity.clone());
    let window = ReceiveWindow::new(server.memory.clone(), UNREAD, UNREAD);
    let info = Arc::new(info);
    let connection = Connection { server, info, activity, channel, window, limits, asked: Cell::new(0) };
    let end = loop {
        let head = match connection.head().await {
            Ok(head) => head,
            Err(Next::End(end)) => break end,
            Err(Next::Refuse(malformed)) => {
                tracing::debug!(listener = %listener.name, error = malformed.text(), "no request");
                metrics.rejected("malformed");
                break connection.refuse(malformed).await;
            }
        };
        if let Err(end) = connection.exchange(head).await {
            break end;
        }
    };
    match end {
        End::Over => connection.close().await,
        End::Cut => connection.channel.reset(),
        End::Gone => {}
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All that there was to say has been said.
    Over,
    /// In the middle of a response.
    Cut,
    /// The client is gone, or the connection is to close at once.
    Gone,
}

/// What comes instead of a request.
enum Next {
    End(End),
    Refuse(Malformed),
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler> Connection<S, H> {
    /// Waits for the head of the next request.
    async fn head(&self) -> Result<RequestHead, Next> {
        let mut section = Section::default();
        if !self.channel.incoming.borrow().buffer.is_empty() {
            // It came together with the request before.
            self.activity.note_read();
        }
        poll_fn(|cx| {
            let ending = self.activity.poll_ending(cx);
            if ending == Ending::Close {
                return Poll::Ready(Err(Next::End(End::Gone)));
            }
            // What has arrived comes first, also where the connection is to end.
            if let Poll::Ready(head) = self.poll_head(&mut section, cx) {
                return Poll::Ready(head);
            }
            if ending >= Ending::Finish && !self.activity.is_reading() {
                return Poll::Ready(Err(Next::End(End::Over)));
            }
            // Most that stay idle have asked once. Who asks again keeps what is needed for that.
            if self.activity.take_rest() || self.asked.get() == 1 {
                self.channel.rest();
            }
            Poll::Pending
        })
        .await
    }

    fn poll_head(&self, section: &mut Section, cx: &mut Context<'_>) -> Poll<Result<RequestHead, Next>> {
        loop {
            {
                let incoming = &mut self.channel.incoming.borrow_mut().buffer;
                let found = section.find_end(incoming, 1, self.limits, Reading::Strict).map_err(Next::Refuse)?;
                if let Some(found) = found {
                    incoming.advance(found.place.start);
                    let head = incoming.split_to(found.place.len());
                    return Poll::Ready(parse_request(head, &found).map_err(Next::Refuse));
                }
            }
            match ready!(self.channel.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Err(Next::End(End::Over))),
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err(Next::End(End::Gone))),
            }
        }
    }

    /// Has one request answered. An error where the connection ends with it.
    async fn exchange(&self, head: RequestHead) -> Result<(), End> {
        let RequestHead { method, target, version, fields } = head;
        let mut running = Running::start(self.activity.clone());
        self.channel.begin();
        self.asked.set(self.asked.get().saturating_add(1));
        let length = request_length(version, &fields);
        let persistent = length.is_some() && headers::is_persistent(version, &fields);
        let framing = Framing { head: method == Method::HEAD, version };
        let head = Head { method, target, version, fields, protocol: None };
        let offered =
            if self.server.tunnels && length == Some(BodyLength::Exact(0)) { tunnel::offer(&head) } else { None };
        let (body, upload) = match length {
            None | Some(BodyLength::Exact(0)) => (Body::empty(), None),
            Some(length) => {
                let (body, upload) = Upload::watch(&head, length, persistent, self);
                (body, Some(upload))
            }
        };
        running.answered = upload.clone().map(|upload| -> Rc<dyn Answered> { upload });
        let mut inbound = Inbound::new(self.info.clone(), self.activity.last_read(), head, body);
        if version == Version::HTTP_11 {
            inbound.interim = Interim::to(self.channel.clone());
        }
        let offer = offered.map(|(offer, upgrade)| {
            inbound.upgrade = Some(upgrade);
            offer
        });
        // What is left of the body must not keep the connection open beyond its end.
        let given_up = |end| {
            upload.iter().for_each(|upload| upload.give_up());
            end
        };
        let response = self.answer(inbound, upload.as_deref()).await.map_err(given_up)?;
        if let Some(offer) = offer
            && offer.is_accepted_by(response.status)
        {
            // In a box: most connections carry none.
            let closed = Box::pin(self.tunnel(offer, response, running)).await;
            return Err(if closed { End::Over } else { End::Cut });
        }
        let draining = || self.activity.ending() >= Ending::Drain;
        let stays = match &upload {
            _ if draining() => false,
            None => persistent,
            // Rare enough for a box: most requests have no body.
            Some(upload) => Box::pin(upload.stays(response.status)).await && !draining(),
        };
        self.respond(framing, response, stays, running, upload.as_deref()).await.map_err(given_up)?;
        match &upload {
            Some(upload) if upload.is_coming() => Box::pin(self.rest_of(upload)).await.map_err(given_up),
            _ => Ok(()),
        }
    }

    /// Waits for the response, and sends what goes before it.
    async fn answer(&self, inbound: Inbound, upload: Option<&Upload<S>>) -> Result<Response, End> {
        let mut answer = self.server.answers.start((self.server.handler)(inbound));
        poll_fn(|cx| {
            if self.activity.poll_ending(cx) == Ending::Close {
                return Poll::Ready(Err(End::Cut));
            }
            if let Poll::Ready(response) = answer.poll(cx) {
                return Poll::Ready(Ok(response));
            }
            let written = self.channel.poll_flush(cx);
            if matches!(written, Poll::Ready(Err(_))) || self.has_left(upload, cx) {
                return Poll::Ready(Err(End::Cut));
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the client has left. While somebody waits for more of its body, that tells.
    fn has_left(&self, upload: Option<&Upload<S>>, cx: &mut Context<'_>) -> bool {
        !upload.is_some_and(Upload::is_awaited) && self.channel.poll_present(cx).is_err()
    }

    /// Sends a response.
    async fn respond(
        &self,
        framing: Framing,
        response: Response,
        stays: bool,
        running: Running,
        upload: Option<&Upload<S>>,
    ) -> Result<(), End> {
        let Response { status, fields, body } = response;
        self.channel.responding.set(true);
        let (mut writer, stays) =
            framing.write_head(status, fields, &body, stays, &mut self.channel.outgoing.borrow_mut());
        if let Some(upload) = upload.filter(|_| !stays) {
            upload.close();
        }
        let mut body = Some(Paced::new(body, false, Some(running), &self.server.memory)).filter(|_| !writer.is_ended());
        let written = poll_fn(|cx| {
            if self.activity.poll_ending(cx) == Ending::Close {
                return Poll::Ready(Err(Closed));
            }
            let written = respond::poll_write(&self.channel, &mut writer, &mut body, cx);
            if written.is_pending() && self.has_left(upload, cx) {
                return Poll::Ready(Err(Closed));
            }
            written
        })
        .await;
        match written {
            Ok(()) if stays => Ok(()),
            Ok(()) => Err(End::Over),
            Err(Closed) => Err(End::Cut),
        }
    }

    /// Waits until the rest of a body is taken in that the next request stands behind.
    async fn rest_of(&self, upload: &Upload<S>) -> Result<(), End> {
        let whole = poll_fn(|cx| match self.activity.poll_ending(cx) {
            Ending::Close => Poll::Ready(Err(End::Gone)),
            _ => match upload.state() {
                UploadState::Coming => Poll::Pending,
                UploadState::Whole => Poll::Ready(Ok(())),
                UploadState::Broken => Poll::Ready(Err(End::Over)),
            },
        });
        whole.await
    }

    /// Answers what is no request.
    async fn refuse(&self, malformed: Malformed) -> End {
        let status = match malformed {
            Malformed::Syntax(_) => StatusCode::BAD_REQUEST,
            Malformed::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Malformed::TargetTooLong => StatusCode::URI_TOO_LONG,
            Malformed::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        };
        let mut response = Response::new(Body::empty());
        response.status = status;
        let framing = Framing { head: false, version: Version::HTTP_11 };
        let running = Running::start(self.activity.clone());
        self.respond(framing, response, false, running, None).await.err().unwrap_or(End::Over)
    }

    /// Ends a connection whose last response was written.
    async fn close(&self) {
        let said = poll_fn(|cx| match self.activity.poll_ending(cx) {
            Ending::Close => Poll::Ready(false),
            _ => self.channel.poll_shutdown(cx).map(|end| end.is_ok()),
        });
        if said.await {
            linger::close(Rest(self.channel.clone()), &self.activity).await;
        }
    }
}
