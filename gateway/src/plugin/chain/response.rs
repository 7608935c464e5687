//! The response side of a run: heads and bodies in reverse order.

use http::Method;
use http_body::Body as _;
use plugin_rules::body::reading_of_response;
use plugin_rules::codings::Content;

use super::ChainRun;
use super::link::{Guest as _, Lent, Link, ready};
use super::stage::Primed;
use crate::error::Error;
use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::message::headers::Direction;
use crate::message::{Body, content};
use crate::phase::Phase;
use crate::plugin::call::{Action, BodyMode, Call};
use crate::plugin::encoding;

impl<L: Link> ChainRun<L> {
    /// Whether [`ChainRun::response`] has something to do.
    pub fn sees_response(&self) -> bool {
        self.chain.phases.contains(Phase::ResponseHeaders) || self.slots.iter().any(|slot| slot.guest.is_some())
    }

    /// The response phases, in reverse order over the plugins whose request-headers phase had run: all of them, or those
    /// before the plugin that `source` names. The head is in the exchange before and after; call it again after an
    /// error with the gateway's own response, and the plugins that have not answered yet see that.
    pub async fn response(&mut self, source: ResponseSource, mut body: Body) -> Result<Body, Error> {
        let (chain, shared) = (self.chain.clone(), self.exchange.clone());
        let before = match source {
            ResponseSource::Plugin(index) | ResponseSource::Stored(index) => index,
            _ => chain.links.len(),
        };
        // What the request side still holds after an error is of no more use, and may be the last instance of its plugin.
        self.slots.iter_mut().for_each(|slot| slot.guest = None);
        (self.hides_length, self.content, self.decoded) = (false, None, None);
        let mut source = source;
        let mut alone = true;
        let mut lent = shared.lock().await;
        for (index, link) in chain.links.iter().enumerate().take(before).rev() {
            let slot = &mut self.slots[index];
            if !slot.ran || std::mem::replace(&mut slot.answered, true) || slot.is_absent() {
                continue;
            }
            if !link.phases().contains(Phase::ResponseHeaders) {
                continue;
            }
            let guest;
            (guest, lent) = ready(link, &shared, lent).await;
            let bare = lent.as_deref().is_none_or(has_no_body);
            let end = bare || body.is_end_stream();
            let call = Call::ResponseHeaders { end };
            let Some((mut guest, action)) = self.call(index, guest, &mut lent, call).await? else { continue };
            let mode = match action {
                Action::Continue(asked) => self.reads_response(lent.as_deref_mut(), index, asked, end)?,
                _ => BodyMode::Skip,
            };
            let answer = match action {
                Action::Continue(_) if mode != BodyMode::Skip => {
                    drop(lent);
                    let pinned = mode == BodyMode::Chunks && link.pins();
                    if pinned {
                        guest.pin();
                    }
                    // Where no content is allowed, what is there in its place only tells the length.
                    let read = if bare { Body::empty() } else { std::mem::replace(&mut body, Body::empty()) };
                    let read = self.decoded(index, read).await?;
                    let stage = self.stage(index, Direction::Response, mode, pinned.then_some(guest), read);
                    let primed = match mode {
                        BodyMode::Chunks if !pinned => Primed::Body(stage.begin(alone).await?),
                        _ => stage.prime().await?,
                    };
                    lent = shared.lock().await;
                    match primed {
                        Primed::Body(_) if bare => None,
                        Primed::Body(primed) => {
                            alone &= primed.size_hint().exact().is_some();
                            body = primed;
                            None
                        }
                        Primed::Respond(response) => {
                            body = Body::empty();
                            Some(self.answer(&mut lent, index, response))
                        }
                    }
                }
                Action::Continue(_) => None,
                action => self.answered(&mut lent, index, action),
            };
            let Some(answer) = answer else {
                body = self.keep(&mut lent, index, source, body);
                continue;
            };
            let answer = self.usable(index, answer)?;
            (source, body) = (answer.source, answer.body);
            alone = true;
            (self.hides_length, self.decoded) = (false, None);
        }
        Ok(self.encoded_again(&mut lent, body))
    }

    /// The body without the codings that were found on it.
    async fn decoded(&mut self, index: usize, body: Body) -> Result<Body, Error> {
        let Some(content) = self.content.take() else { return Ok(body) };
        let body = encoding::decoded(body, &content, self.reader(index, Direction::Response))?;
        match *content {
            // While the head has not gone out, the gateway can still answer in its place.
            Content::Unreadable(_) => encoding::only_if_empty(body).await,
            _ => Ok(body),
        }
    }

    /// With a coding on that the client accepts, where one was taken off.
    fn encoded_again(&mut self, lent: &mut Lent, body: Body) -> Body {
        let Some(own) = self.decoded.take() else { return body };
        let Some(exchange) = lent.as_deref_mut() else { return body };
        let accepted = if self.identity { self.accepted } else { encoding::accepted(&exchange.request.headers) };
        let bare = has_no_body(exchange);
        let Some(response) = response_of(exchange) else { return body };
        encoding::encode_again(&mut response.headers, body, bare, (own, accepted), &self.chain.memory)
    }

    /// What the plugin reads of the body that follows. The head says no more than holds for whatever comes of it.
    fn reads_response(
        &mut self,
        mut exchange: Option<&mut Exchange>,
        index: usize,
        asked: BodyMode,
        end: bool,
    ) -> Result<BodyMode, Error> {
        let bare = exchange.as_deref().is_none_or(has_no_body);
        let link = &self.chain.links[index];
        let reading = reading_of_response(asked, link.phases().contains(Phase::ResponseBody), end);
        let mut reading = reading.map_err(|what| self.asks_in_vain(index, what))?;
        if end && link.pins() {
            // When it was built, who asked for a body that does not come was not called for it, and may take a call for a mistake.
            reading.mode = BodyMode::Skip;
        }
        if reading.drops_description
            && let Some(response) = exchange.as_deref_mut().and_then(response_of)
        {
            // The head of an answer to HEAD says what it would in answer to GET.
            if bare || !end {
                let content = encoding::content_of_response(response);
                encoding::is_decoded(&mut response.headers, &content);
                if let Content::Coded(codings) = &content {
                    self.decoded = codings.outermost();
                }
                if !bare && content != Content::Plain {
                    self.content = Some(Box::new(content));
                }
            }
            encoding::body_may_change(&mut response.headers);
        }
        if reading.hides_length {
            self.hides_length = true;
            if let Some(response) = exchange.filter(|of| has_no_body(of)).and_then(response_of) {
                encoding::length_is_unknown(&mut response.headers);
            }
        }
        Ok(reading.mode)
    }

    /// Whether the answer to HEAD has passed a plugin that reads bodies in answers to GET, so that nobody knows the length.
    pub const fn hides_length(&self) -> bool {
        self.hides_length
    }
}

fn response_of(exchange: &mut Exchange) -> Option<&mut ResponseHead> {
    exchange.response.as_mut()
}

/// RFC 9110 section 6.4.1.
fn has_no_body(exchange: &Exchange) -> bool {
    *exchange.request.asked_method() == Method::HEAD
        || exchange.response.as_ref().is_some_and(|response| !content::is_allowed(response.status))
}
