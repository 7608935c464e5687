//! A request over HTTP/2 and its response: a task of its own, whose end resets the stream where that is unfinished.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http_body::Body as _;

use super::context::{Connection, head_of};
use super::tunnel::{self, StreamOffer};
use super::unsent::{Piece, Pieces};
use crate::handler::Handler;
use crate::message::{Response, headers};
use crate::protocol::answers::Answering;
use crate::protocol::multiplexed::StreamActivity;
use crate::protocol::paced::Paced;
use crate::protocol::running::Running;
use crate::sanitize::safe;

/// Sends what answers a request.
pub(super) async fn serve<H: Handler>(
    connection: Rc<Connection<H>>,
    stream: Rc<StreamActivity>,
    running: Running,
    mut answer: Answering<H::Answer>,
    mut respond: SendResponse<Piece>,
    offer: Option<Box<StreamOffer>>,
) {
    let Some(response) = poll_fn(|cx| poll_answer(&mut answer, &stream, &mut respond, cx)).await else { return };
    // An open stream does not keep the room of the whole pipeline while its response is written.
    drop(answer);
    if let Some(offer) = offer
        && offer.offer.is_accepted_by(response.status)
    {
        return Box::pin(tunnel::serve(connection, stream, running, respond, *offer, response)).await;
    }
    let Some(mut writing) = Writing::begin(&connection, stream, running, respond, response) else { return };
    poll_fn(|cx| writing.poll(&connection, cx)).await;
}

/// Waits for the response, and sends what goes before it. `None`: the client has reset the stream, or has earned that.
fn poll_answer<A: Future<Output = Response>>(
    answer: &mut Answering<A>,
    stream: &StreamActivity,
    respond: &mut SendResponse<Piece>,
    cx: &mut Context<'_>,
) -> Poll<Option<Response>> {
    let polled = answer.poll(cx);
    if stream.is_refused() {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Poll::Ready(None);
    }
    if polled.is_ready() {
        stream.interim.close();
    }
    let mut next = stream.interim.take();
    // h2 would send the head of an interim response on a stream that is no more.
    if (polled.is_pending() || next.is_some()) && respond.poll_reset(cx).is_ready() {
        return Poll::Ready(None);
    }
    while let Some((status, fields)) = next {
        if let Err(error) = respond.send_informational(head_of(status, fields)) {
            tracing::debug!(error = %safe!(error), "an interim response was not sent");
        }
        next = stream.interim.take();
    }
    polled.map(Some)
}

/// A response that is being written.
struct Writing {
    stream: SendStream<Piece>,
    activity: Rc<StreamActivity>,
    body: Paced,
    pieces: Pieces,
    /// What waits for the client's window, and whether it is the last.
    next: Option<(Piece, bool)>,
}

impl Writing {
    /// Sends the head. `None` where nothing follows.
    fn begin<H: Handler>(
        connection: &Connection<H>,
        activity: Rc<StreamActivity>,
        running: Running,
        mut respond: SendResponse<Piece>,
        response: Response,
    ) -> Option<Self> {
        let Response { status, mut fields, body } = response;
        headers::set_date(&mut fields, SystemTime::now);
        let ends = body.is_end_stream();
        let body = Paced::new(body, true, Some(running), &connection.server.memory);
        match respond.send_response(head_of(status, fields), ends) {
            Ok(stream) => {
                connection.allowance.responded(0);
                let pieces = connection.unsent.response();
                (!ends).then_some(Self { stream, activity, body, pieces, next: None })
            }
            Err(error) => {
                tracing::debug!(error = %safe!(error), "a response was not sent");
                respond.send_reset(Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    /// Ready when the response is over, or the stream.
    fn poll<H: Handler>(&mut self, connection: &Connection<H>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.activity.is_refused() {
                self.stream.send_reset(Reason::PROTOCOL_ERROR);
                return Poll::Ready(());
            }
            if self.next.is_some() {
                if ready!(self.poll_window(cx)).is_none() {
                    return Poll::Ready(());
                }
                if let Some((piece, last)) = self.next.take()
                    && (self.stream.send_data(piece, last).is_err() || last)
                {
                    return Poll::Ready(());
                }
            }
            let polled = match self.pieces.poll_ready(cx) {
                Poll::Ready(()) => Pin::new(&mut self.body).poll_frame(cx),
                Poll::Pending => Poll::Pending,
            };
            let Poll::Ready(frame) = polled else {
                // Wakes the task when the client gives the response up.
                return self.stream.poll_reset(cx).map(drop);
            };
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    // RFC 9113 section 8.1: a response cut short is reset, never finished.
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                None => {
                    let _ = self.stream.send_data(self.pieces.piece(Bytes::new(), true), true);
                    return Poll::Ready(());
                }
            };
            match frame.into_data() {
                Ok(data) => self.offer(data, connection),
                Err(frame) => {
                    self.stream.reserve_capacity(0);
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = self.stream.send_trailers(trailers);
                    }
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Makes a piece the next one to be sent.
    fn offer<H: Handler>(&mut self, data: Bytes, connection: &Connection<H>) {
        let last = self.body.is_end_stream();
        if data.is_empty() && !last {
            return;
        }
        connection.allowance.responded(data.len());
        // As little as possible of the connection's window: h2 asks for the rest when it has the piece, and would give each
        // stream that waits a share of the window that others could use.
        self.stream.reserve_capacity(usize::from(!data.is_empty()));
        self.next = Some((self.pieces.piece(data, last), last));
    }

    /// Waits until the client takes something of the next piece. `None`: the stream is no more.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let empty = self.next.as_ref().is_some_and(|(piece, _)| piece.is_empty());
        while !empty && self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(()))
    }
}
