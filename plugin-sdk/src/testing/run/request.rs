//! The request side: the head, the body, and what goes upstream.

use plugin_rules::body::{self, ASKS_FOR_OTHER_BYTES, OF_THE_BYTES};
use plugin_rules::class::{Direction, is_forbidden_in_trailers};
use plugin_rules::codings::Content;
use plugin_rules::phase::Phase;

use super::arrival::strip_lookalikes;
use super::bodies::body_may_change;
use super::{Outcome, Passed, Run, codings};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::{FieldList, Forwarded};
use crate::{BodyMode, HeadersAction, Phases, Plugin};

impl<P: Plugin> Run<'_, P> {
    pub(super) fn request(&mut self, chunks: Vec<Vec<u8>>, mut trailers: FieldList) {
        trailers.retain(|(name, _)| !is_forbidden_in_trailers(name, Direction::Request));
        let end = chunks.is_empty() && trailers.is_empty();
        self.measure("bytes.in", chunks.iter().map(|chunk| chunk.len() as u64).sum());
        let mut mode = BodyMode::Skip;
        if P::PHASES.contains(Phases::REQUEST_HEADERS) {
            match self.call(Phase::RequestHeaders, |plugin, exchange| plugin.on_request_headers(exchange, end)) {
                HeadersAction::Continue(asked) => mode = asked,
                HeadersAction::Respond(response) => {
                    self.answer(response);
                    return self.responded();
                }
                HeadersAction::RespondStored(key, otherwise) => {
                    if self.answer_stored(&key, otherwise) {
                        return self.responded();
                    }
                }
            }
        }
        let reads = body::BodyMode::from(mode).of_request(P::PHASES.contains(Phases::REQUEST_BODY), end, false);
        let reads = reads.unwrap_or_else(|breach| panic!("on_request_headers {breach}")) != body::BodyMode::Skip;
        let content = if reads && !end { self.content(Direction::Request) } else { Content::Plain };
        if reads {
            self.is_decoded(Direction::Request, &content);
            body_may_change(&mut self.data.part(Part::Request).borrow_mut(), OF_THE_BYTES.len());
        }
        if P::PHASES.contains(Phases::RESPONSE_BODY) {
            // The gateway asks for a response that a plugin can read: unencoded and whole.
            let mut fields = self.data.part(Part::Request).borrow_mut();
            self.accepted.set(codings::accepted(&fields));
            fields.retain(|(name, _)| !ASKS_FOR_OTHER_BYTES.contains(&name.as_str()));
            fields.push(("accept-encoding".to_owned(), b"identity".to_vec()));
        }
        let passed = match reads {
            true => {
                let pieces = codings::decoded(&content, Direction::Request, chunks, true);
                self.stream(Direction::Request, mode, pieces, trailers)
            }
            false => {
                *self.data.part(Part::RequestTrailers).borrow_mut() = trailers;
                Passed::Body { chunks: chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect(), aborted: None }
            }
        };
        let (chunks, aborted) = match passed {
            Passed::Body { chunks, aborted } => (chunks, aborted),
            Passed::Respond(response) => {
                self.answer(response);
                return self.responded();
            }
            Passed::Refused(status) => {
                self.gateway_answers(status);
                return self.responded();
            }
        };
        self.data.request_sent.set(true);
        self.forwarded_at = self.host.0.elapsed();
        let mut headers = self.data.part(Part::Request).borrow().clone();
        strip_lookalikes(&mut headers, self.data.edited.borrow().keys());
        self.outcome = Outcome::Forwarded(Forwarded {
            method: self.data.method.borrow().clone(),
            authority: self.data.authority.borrow().clone(),
            target: self.data.target.borrow().clone(),
            upstream: self.data.properties.borrow().get("upstream.name").cloned().unwrap_or_default(),
            headers,
            chunks,
            trailers: self.data.trailers(Direction::Request),
            aborted: aborted.is_some(),
        });
        if let Some(status) = aborted {
            self.gateway_answers(status);
            self.end();
        }
    }

    /// The gateway refuses it before any phase.
    pub(super) fn refuse(&mut self, status: u16) {
        let body = self.place_gateway(status);
        self.deliver(vec![body], false);
        self.ended = true;
        self.outcome = Outcome::Responded(self.response().clone());
    }

    /// The exchange ended without the upstream.
    pub(super) fn responded(&mut self) {
        self.end();
        self.outcome = Outcome::Responded(self.response().clone());
    }
}
