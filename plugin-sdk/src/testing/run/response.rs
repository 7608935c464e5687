//! The response side: the head, the body, what is kept, and what the client gets.

use std::time::{Duration, SystemTime};

use plugin_rules::body::{self, LENGTH_AND_DIGESTS, OF_THE_BYTES, reading_of_response};
use plugin_rules::class::{Direction, is_forbidden_in_trailers};
use plugin_rules::codings::Content;
use plugin_rules::failure::{self, ABORTED};
use plugin_rules::phase::Phase;
use plugin_rules::stored::Readers;

use super::bodies::body_may_change;
use super::{Passed, Run, codings};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::{ClientResponse, FieldList};
use crate::testing::stored::Candidate;
use crate::{BodyMode, Failure, HeadersAction, Phases, Plugin};

impl<P: Plugin> Run<'_, P> {
    pub(super) fn response_phases(&mut self, chunks: Vec<Vec<u8>>, mut trailers: FieldList, cut: Option<Failure>) {
        trailers.retain(|(name, _)| !is_forbidden_in_trailers(name, Direction::Response));
        let end = self.has_no_body() || (chunks.is_empty() && trailers.is_empty() && cut.is_none());
        let chunks = if self.has_no_body() { Vec::new() } else { chunks };
        let mut mode = BodyMode::Skip;
        if P::PHASES.contains(Phases::RESPONSE_HEADERS) {
            let action =
                self.call(Phase::ResponseHeaders, |plugin, exchange| plugin.on_response_headers(exchange, end));
            match action {
                HeadersAction::Continue(asked) => mode = asked,
                HeadersAction::Respond(response) => return self.answer(response),
                HeadersAction::RespondStored(key, otherwise) => {
                    if self.answer_stored(&key, otherwise) {
                        return;
                    }
                }
            }
        }
        let reading = reading_of_response(mode.into(), P::PHASES.contains(Phases::RESPONSE_BODY), end);
        let reading = reading.unwrap_or_else(|breach| panic!("on_response_headers {breach}"));
        let reads = reading.mode != body::BodyMode::Skip;
        let mut content = Content::Plain;
        if reading.drops_description {
            // The head of an answer to HEAD says what it would in answer to GET.
            if self.has_no_body() || !end {
                content = self.content(Direction::Response);
                self.is_decoded(Direction::Response, &content);
            }
            body_may_change(&mut self.data.part(Part::Response).borrow_mut(), OF_THE_BYTES.len());
        }
        if reading.hides_length && self.has_no_body() {
            body_may_change(&mut self.data.part(Part::Response).borrow_mut(), LENGTH_AND_DIGESTS);
        }
        if cut.is_some() {
            self.data.failure.set(cut);
        }
        let passed = match reads {
            // With the body cut, there is nothing whole to hand over, and the gateway answers.
            true if cut.is_some() && mode == BodyMode::Whole => Passed::Refused(failure::Failure::Reset.status()),
            true if cut.is_some() => {
                self.stream_until_cut(codings::decoded(&content, Direction::Response, chunks, false).chunks)
            }
            true => {
                let pieces = codings::decoded(&content, Direction::Response, chunks, true);
                self.stream(Direction::Response, mode, pieces, trailers)
            }
            false => {
                *self.data.part(Part::ResponseTrailers).borrow_mut() = trailers;
                Passed::Body { chunks, aborted: cut.map(|_| ABORTED) }
            }
        };
        match passed {
            Passed::Body { chunks, aborted } => {
                if aborted.is_none() {
                    self.keep(&chunks);
                }
                let chunks = self.encode_again(chunks, aborted.is_none());
                self.deliver(chunks, aborted.is_some());
            }
            Passed::Respond(response) => self.answer(response),
            Passed::Refused(status) => {
                let body = self.place_gateway(status);
                self.deliver(vec![body], false);
            }
        }
    }

    /// Keeps the upstream's response where the plugin asked for it, as its head stands after the plugin.
    fn keep(&self, chunks: &[Vec<u8>]) {
        let Some((key, ttl_ms)) = self.data.store.borrow_mut().take() else { return };
        let from_upstream = self.data.properties.borrow().get("response.source").is_some_and(|by| by == "upstream");
        if !from_upstream || !self.data.part(Part::ResponseTrailers).borrow().is_empty() {
            return;
        }
        let (host, principal) = (&self.host.0, self.principal());
        let readers = Readers::of(host.shared.get(), principal.as_deref());
        let candidate = Candidate {
            key: self.key(readers, &key),
            identity: P::PHASES.contains(Phases::RESPONSE_BODY),
            status: self.status(),
            headers: self.data.part(Part::Response).borrow().clone(),
            ttl: Duration::from_millis(ttl_ms),
        };
        let at = (SystemTime::UNIX_EPOCH + host.now.get(), host.elapsed());
        let mut all = host.stored.borrow_mut();
        self.with_sent(|sent| candidate.keep(sent, (readers, host.unmarked.get()), chunks.concat(), at, &mut all));
    }

    /// The client gets the response.
    pub(super) fn deliver(&mut self, chunks: Vec<Vec<u8>>, aborted: bool) {
        let mut chunks = if self.has_no_body() { Vec::new() } else { chunks };
        chunks.retain(|chunk| !chunk.is_empty());
        self.data.response_sent.set(true);
        self.measure("bytes.out", chunks.iter().map(|chunk| chunk.len() as u64).sum());
        self.response = Some(ClientResponse {
            status: self.status(),
            headers: self.data.part(Part::Response).borrow().clone(),
            chunks,
            trailers: if self.has_no_body() { Vec::new() } else { self.data.trailers(Direction::Response) },
            aborted,
        });
    }
}
