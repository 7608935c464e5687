//! A connection that stops carrying HTTP/1.1: after 101 (RFC 9110 section 7.8), and after CONNECT has succeeded.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::Channel;
use super::context::Connection;
use crate::handler::Handler;
use crate::http1::{status_line, write_fields};
use crate::message::{Head, OnUpgrade, Response, headers};
use crate::protocol::activity::Ending;
use crate::protocol::running::Running;
use crate::protocol::tracked::OverTcp;
use crate::protocol::tunnel::{Accepting, Offer, Side, Tied, tie};

/// What a request without a body may turn its connection into, where it asks for that.
pub(super) fn offer(head: &Head) -> Option<(Offer, OnUpgrade)> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    if head.method == Method::CONNECT {
        return Some(Offer::new(Accepting::Success));
    }
    headers::asks_for_upgrade(head.version, &head.fields).then(|| Offer::new(Accepting::Switching))
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + 'static, H: Handler> Connection<S, H> {
    /// Sends a response that accepts the tunnel, hands over the connection, and waits until the tunnel is over. The request
    /// runs as long, and its response is not over before. False where the connection must not end as if all had been said.
    pub(super) async fn tunnel(&self, offer: Offer, response: Response, running: Running) -> bool {
        let Response { status, mut fields, body } = response;
        self.channel.responding.set(true);
        headers::set_date(&mut fields, SystemTime::now);
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            fields.remove(name);
        }
        let upgrade = fields.contains_key(UPGRADE);
        self.channel.outgoing.borrow_mut().write(|out| {
            status_line(out, Version::HTTP_11, status);
            write_fields(out, &fields);
            if upgrade {
                out.extend_from_slice(b"connection: upgrade\r\n");
            }
            out.extend_from_slice(b"\r\n");
        });
        let written = poll_fn(|cx| match self.activity.poll_ending(cx) {
            Ending::Close => Poll::Ready(false),
            _ => self.channel.poll_flush(cx).map(|written| written.is_ok()),
        });
        if !written.await {
            return false;
        }
        let (held, tied) = tie();
        offer.hand_over(Box::pin(Upgraded { channel: self.channel.clone(), tied }));
        let over = poll_fn(|cx| match self.activity.poll_ending(cx) {
            Ending::Close => Poll::Ready(false),
            _ => held.poll_over(cx),
        });
        let closed = over.await;
        drop((body, running));
        closed
    }
}

/// A connection as bytes. What came behind the request is read first.
struct Upgraded<S> {
    channel: Rc<Channel<S>>,
    tied: Tied,
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin> AsyncRead for Upgraded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Read, cx)?;
        self.channel.poll_read_into(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin> AsyncWrite for Upgraded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tied.check(Side::Write, cx)?;
        self.channel.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Write, cx)?;
        self.channel.poll_flush_stream(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tied.check(Side::Write, cx)?;
        let polled = self.channel.poll_shutdown(cx);
        self.tied.closed |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }
}
