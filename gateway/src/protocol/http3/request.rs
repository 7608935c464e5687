//! A request over HTTP/3 and its response.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::StatusCode;
use http_body_util::BodyExt;

use super::body::IncomingBody;
use super::context::ListenerContext;
use super::quic::{self, Stopped, StreamHandle};
use super::stream::SendStream;
use crate::exchange::ConnectionInfo;
use crate::handler::{Handler, Inbound};
use crate::memory::Unread;
use crate::message::{FieldMap, Interim, InterimQueue, Response, headers};
use crate::protocol::paced::Paced;

type Send = RequestStream<SendStream<Bytes>, Bytes>;

/// One request and its response. Returning early drops the stream, which resets what is unfinished.
pub(super) async fn serve<H: Handler>(
    context: &ListenerContext<H>,
    info: Arc<ConnectionInfo>,
    resolver: RequestResolver<quic::QuicConnection, Bytes>,
    StreamHandle { mut stopped, notes, acknowledgements }: StreamHandle,
    (unread, mut unsent): (Unread, Unread),
) {
    let limits = &context.listener.limits;
    let resolved = tokio::time::timeout(limits.header_timeout, resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            // The others are a client's that left before its head was whole.
            if notes.is_refused() || matches!(error, StreamError::StreamError { .. } | StreamError::HeaderTooBig { .. })
            {
                context.metrics.rejected("malformed");
            }
            return tracing::debug!(listener = %info.listener, %error, "no HTTP/3 request");
        }
        Err(_) => {
            context.metrics.rejected("timeout");
            return tracing::debug!(listener = %info.listener, "an HTTP/3 request's head took too long");
        }
    };
    notes.engage();
    let (mut send, recv) = stream.split();
    let (head, body) = IncomingBody::attach(request, recv, notes, unread).await.into_parts();
    let mut inbound = Inbound::new(info, Instant::now(), head.into(), body);
    let interim = Rc::new(InterimQueue::default());
    inbound.interim = Interim::to(interim.clone());
    let mut answer = pin!((context.server.handler)(inbound));
    let response = loop {
        let (status, fields) = tokio::select! {
            biased;
            response = &mut answer => break response,
            true = &mut stopped => return,
            one = interim.next() => one,
        };
        if within(limits.body_timeout, send.send_response(head_of(status, fields))).await.is_err() {
            return;
        }
    };
    interim.close();
    while let Some((status, fields)) = interim.take() {
        if within(limits.body_timeout, send.send_response(head_of(status, fields))).await.is_err() {
            return;
        }
    }
    let Response { status, fields, body } = response;
    let body = Paced::new(body, true, None, &context.server.memory);
    if respond(&mut send, (status, fields, body), limits.body_timeout, &mut stopped, &mut unsent).await.is_ok() {
        // The connection must not close before the client has everything: what is not sent by then is discarded.
        acknowledgements.finished(stopped).await;
    }
}

/// The response is not going to be complete.
struct Cut;

async fn respond(
    send: &mut Send,
    (status, mut fields, mut body): (StatusCode, FieldMap, Paced),
    patience: Duration,
    stopped: &mut Stopped,
    unsent: &mut Unread,
) -> Result<(), Cut> {
    headers::set_date(&mut fields, SystemTime::now);
    within(patience, send.send_response(head_of(status, fields))).await?;
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            true = &mut *stopped => return Err(Cut),
        };
        match frame {
            None => return within(patience, send.finish()).await,
            Some(Ok(frame)) => match frame.into_data() {
                // No piece is so large that a client which takes it in time would be too slow: see `paced`.
                Ok(data) => {
                    let mut write = pin!(send.send_data(data));
                    let begun = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
                    match begun {
                        Poll::Ready(written) => written.map_err(|_| Cut)?,
                        Poll::Pending => {
                            // What the connection may keep for the client is full.
                            let _ = unsent.handed_out();
                            within(patience, write).await?;
                            unsent.awaited();
                        }
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        within(patience, send.send_trailers(trailers)).await?;
                    }
                    return within(patience, send.finish()).await;
                }
            },
            Some(Err(_)) => {
                // RFC 9114 section 4.1: a response cut short is reset, never finished.
                send.stop_stream(Code::H3_INTERNAL_ERROR);
                return Err(Cut);
            }
        }
    }
}

/// The head of a response, or of one before it.
fn head_of(status: StatusCode, fields: FieldMap) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = fields.into_map();
    head
}

/// A write that a client must not delay for longer than `patience`.
async fn within<E>(patience: Duration, write: impl Future<Output = Result<(), E>>) -> Result<(), Cut> {
    match tokio::time::timeout(patience, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Cut),
    }
}
