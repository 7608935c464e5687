//! The response side: the head, the body, what is kept, and what the client gets.

use std::time::Duration;

use super::bodies::{body_may_change, is_encoded};
use super::{Direction, Passed, Run};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::{ClientResponse, FieldList};
use crate::testing::stored::{Candidate, Edited};
use crate::{BodyMode, Failure, HeadersAction, Phases, Plugin};

impl<P: Plugin> Run<'_, P> {
    pub(super) fn response_phases(&mut self, chunks: Vec<Vec<u8>>, trailers: FieldList, cut: Option<Failure>) {
        let end = self.has_no_body() || (chunks.is_empty() && trailers.is_empty() && cut.is_none());
        let chunks = if self.has_no_body() { Vec::new() } else { chunks };
        let mut mode = BodyMode::Skip;
        if P::PHASES.contains(Phases::RESPONSE_HEADERS) {
            self.data.may_store.set(true);
            let action = self.call(|plugin, exchange| plugin.on_response_headers(exchange, end));
            self.data.may_store.set(false);
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
        let reads = !end && mode != BodyMode::Skip && P::PHASES.contains(Phases::RESPONSE_BODY);
        if reads && is_encoded(&self.data.part(Part::Response).borrow()) {
            let body = self.place_gateway(502);
            return self.deliver(vec![body], false);
        }
        if reads {
            body_may_change(&mut self.data.part(Part::Response).borrow_mut());
        }
        let candidate = self.candidate();
        if cut.is_some() {
            self.data.failure.set(cut);
        }
        let passed = match reads {
            // With the body cut, there is nothing whole to hand over, and the gateway answers.
            true if cut.is_some() && mode == BodyMode::Whole => Passed::Refused,
            true if cut.is_some() => self.stream_until_cut(chunks),
            true => self.stream(Direction::Response, mode, chunks, trailers),
            false => {
                *self.data.part(Part::ResponseTrailers).borrow_mut() = trailers;
                Passed::Body { chunks, aborted: cut.is_some() }
            }
        };
        match passed {
            Passed::Body { chunks, aborted } => {
                let trailers = !self.data.part(Part::ResponseTrailers).borrow().is_empty();
                if let (Some((request, candidate)), false, false) = (candidate, aborted, trailers) {
                    let edited = self.data.edited.borrow();
                    let candidate = Candidate { request: &request, edited: &edited, ..candidate };
                    candidate.keep(chunks.concat(), self.host.0.elapsed(), &mut self.host.0.stored.borrow_mut());
                }
                self.deliver(chunks, aborted);
            }
            Passed::Respond(response) => self.answer(response),
            Passed::Refused => {
                let body = self.place_gateway(if cut.is_some() { 502 } else { 503 });
                self.deliver(vec![body], false);
            }
        }
    }

    /// What is to be kept, as the response's head stands after the plugin.
    pub(super) fn candidate(&self) -> Option<(FieldList, Candidate<'static>)> {
        static NO_FIELDS: FieldList = FieldList::new();
        static NO_NAMES: Edited = Edited::new();
        let (key, ttl_ms) = self.data.store.borrow_mut().take()?;
        let from_upstream = self.data.properties.borrow().get("response.source").is_some_and(|by| by == "upstream");
        let candidate = Candidate {
            key: self.key(&key),
            readers: self.readers(),
            unmarked: self.host.0.unmarked.get(),
            identity: P::PHASES.contains(Phases::RESPONSE_BODY),
            get: self.asked.method == "GET" && *self.data.method.borrow() == "GET",
            request: &NO_FIELDS,
            edited: &NO_NAMES,
            status: self.status(),
            headers: self.data.part(Part::Response).borrow().clone(),
            ttl: Duration::from_millis(ttl_ms),
        };
        from_upstream.then(|| (self.data.part(Part::Request).borrow().clone(), candidate))
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
            trailers: self.data.part(Part::ResponseTrailers).borrow().clone(),
            aborted,
        });
    }
}
