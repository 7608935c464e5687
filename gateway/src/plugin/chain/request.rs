//! The request side of a run: heads in chain order, the body through its readers, and what plugins make of an upstream's
//! failure.

use plugin_rules::codings::Content;

use super::link::{Guest as _, Link, ready};
use super::stage::Primed;
use super::{AfterFailure, Answer, ChainRun, Flow, Withheld};
use crate::error::{Error, Failure};
use crate::exchange::{Exchange, ResponseSource};
use crate::message::headers::Direction;
use crate::message::{Body, Detached};
use crate::phase::Phase;
use crate::plugin::call::{Action, BodyMode, Call};
use crate::plugin::encoding;

impl<L: Link> ChainRun<L> {
    /// All request-headers phases in chain order. `end`: the request has no body. Where plugins read the body, what a later one
    /// has answered comes of [`ChainRun::request_body`]: it must not get round what they make of the body.
    pub async fn request_headers(&mut self, end: bool) -> Result<Flow<()>, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = shared.lock().await;
        for (index, link) in chain.links.iter().enumerate() {
            self.slots[index].reached = true;
            if !link.phases().contains(Phase::RequestHeaders) {
                self.slots[index].ran = true;
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let call = Call::RequestHeaders { end };
            let Some((mut guest, action)) = self.call(index, guest, &mut lent, call).await? else { continue };
            if let Action::Continue(mode) = action {
                let reads = mode.of_request(link.phases().contains(Phase::RequestBody), end, link.pins());
                let mode = reads.map_err(|what| self.asks_in_vain(index, what))?;
                let slot = &mut self.slots[index];
                slot.ran = true;
                slot.request_mode = mode;
                if mode == BodyMode::Chunks && link.pins() {
                    guest.pin();
                    slot.guest = Some(guest);
                }
                continue;
            }
            let Some(answer) = self.answered(&mut lent, index, action) else {
                self.slots[index].ran = true;
                continue;
            };
            let answer = self.usable(index, answer)?;
            self.slots[index].ran = true;
            if !self.reads_request() {
                return Ok(Flow::Respond(answer));
            }
            self.withhold(lent.as_deref_mut(), answer);
            break;
        }
        if let Some(exchange) = lent.as_deref_mut() {
            self.prepare_for_readers(exchange, end);
        }
        Ok(Flow::Continue(()))
    }

    /// Takes an answer out of the exchange until the body has passed those who read it: they see none yet.
    fn withhold(&mut self, exchange: Option<&mut Exchange>, answer: Answer) {
        let head = exchange.and_then(|exchange| {
            exchange.source = ResponseSource::None;
            exchange.response.take()
        });
        self.withheld = Some(Box::new(Withheld { head, answer }));
    }

    /// What is sent upstream where plugins read bodies. `end`: there is nothing to read.
    fn prepare_for_readers(&mut self, exchange: &mut Exchange, end: bool) {
        let headers = &mut exchange.request.headers;
        if self.reads_request() {
            // Whether anything can't be read shows at the first byte: none may come.
            let content = if end { Content::Plain } else { encoding::content_of(headers, Direction::Request) };
            if content != Content::Plain {
                encoding::is_decoded(headers, &content);
                self.content = Some(Box::new(content));
            }
            encoding::body_may_change(headers);
        }
        if self.chain.phases.contains(Phase::ResponseBody) {
            self.accepted = encoding::accepted(headers);
            encoding::ask_for_identity(headers);
            self.identity = true;
        }
    }

    /// Whether [`ChainRun::request_body`] has something to do.
    pub fn reads_request(&self) -> bool {
        self.slots.iter().any(|slot| slot.request_mode != BodyMode::Skip)
    }

    /// The request body through those that asked for it, up to the first bytes that they let go. That is when the request would
    /// go upstream, or an answer that was withheld goes out.
    pub async fn request_body(&mut self, mut body: Body) -> Result<Flow<Body>, Error> {
        let mut suspends = false;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.request_mode == BodyMode::Skip {
                continue;
            }
            let (mode, guest) = (slot.request_mode, slot.guest.take());
            if let Some(content) = self.content.take() {
                body = encoding::decoded(body, &content, self.reader(index, Direction::Request))?;
            }
            suspends |= self.chain.links[index].suspends();
            match self.stage(index, Direction::Request, mode, guest, body).prime().await? {
                Primed::Body(primed) => body = primed,
                Primed::Respond(response) => {
                    self.slots.iter_mut().for_each(|slot| slot.guest = None);
                    let shared = self.exchange.clone();
                    let mut lent = shared.lock().await;
                    let answer = self.answer(&mut lent, index, response);
                    return self.usable(index, answer).map(Flow::Respond);
                }
            }
        }
        if let Some(withheld) = self.withheld.take() {
            let Withheld { head, answer } = *withheld;
            if let Some(exchange) = self.exchange.lock().await.as_deref_mut() {
                (exchange.response, exchange.source) = (head, answer.source);
            }
            return Ok(Flow::Respond(answer));
        }
        // A guest that waits keeps the exchange meanwhile. Whoever sends the body may be waiting for that and not look at
        // the body any more: an upstream may answer before it has all of it.
        Ok(Flow::Continue(if suspends { Detached::body(body) } else { body }))
    }

    /// There is no response from the upstream: asks plugins in reverse order. Where the request can't be repeated, `retry`
    /// counts as `continue`.
    pub async fn upstream_failure(&mut self, failure: Failure, can_repeat: bool) -> Result<AfterFailure, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let mut lent = shared.lock().await;
        if let Some(exchange) = lent.as_deref_mut() {
            exchange.failure.get_or_insert(failure);
        }
        for (index, link) in chain.links.iter().enumerate().rev() {
            let slot = &self.slots[index];
            if !slot.ran || slot.is_absent() || !link.phases().contains(Phase::UpstreamFailure) {
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let call = Call::UpstreamFailure(failure);
            let answer = match self.call(index, guest, &mut lent, call).await? {
                Some((_, Action::Retry)) if can_repeat => return Ok(AfterFailure::Retry),
                None | Some((_, Action::Continue(_) | Action::Retry)) => continue,
                Some((_, action)) => self.answered(&mut lent, index, action),
            };
            let Some(answer) = answer else { continue };
            return Ok(AfterFailure::Answer(self.usable(index, answer)?));
        }
        Ok(AfterFailure::GoOn)
    }
}
