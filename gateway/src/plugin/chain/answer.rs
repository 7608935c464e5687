//! Answers of plugins, made here or stored earlier, and keeping responses for later.

use std::time::Instant;

use http::StatusCode;
use http_body::Body as _;
use plugin_rules::kv::kept_by;
use plugin_rules::response::INVALID_STATUS;

use super::link::{Lent, Link};
use super::tee::Tee;
use super::{Answer, ChainRun};
use crate::error::{Error, ErrorKind};
use crate::exchange::{Exchange, ResponseHead, ResponseSource};
use crate::message::{Body, FieldMap, content};
use crate::plugin::call::{Action, LocalResponse, StoredResponse};
use crate::plugin::host::response::{response_fields, response_status};
use crate::plugin::stored::{Key, Readers, caller, storable};
use crate::sensitive::Sensitive;
use crate::trace::{StoredRecord, Trace};

impl<L: Link> ChainRun<L> {
    /// Puts a plugin's response into the exchange.
    pub(super) fn answer(&self, lent: &mut Lent, index: usize, response: LocalResponse) -> Result<Answer, Error> {
        let invalid = |what| {
            self.chain.links[index].answered_nonsense();
            Error::new(ErrorKind::Plugin, what)
        };
        let status = response_status(response.status).map_err(|_| invalid(INVALID_STATUS))?;
        let headers = response_fields(response.headers).map_err(invalid)?;
        let body = self.chain.memory.count(response.body)?;
        Ok(place(lent, ResponseSource::Plugin(index), status, headers, Body::full(body)))
    }

    /// What a phase's action other than to go on comes to. `None`: to go on, because nothing is stored.
    pub(super) fn answered(&self, lent: &mut Lent, index: usize, action: Action) -> Option<Result<Answer, Error>> {
        match action {
            Action::Respond(response) => Some(self.answer(lent, index, response)),
            Action::RespondStored(stored) => self.answer_stored(lent, index, stored),
            Action::Continue(_) => None,
            Action::Replace(_) | Action::Retry | Action::Abort => {
                Some(Err(Error::new(ErrorKind::Plugin, "answered with an action that the phase does not have")))
            }
        }
    }

    /// Puts a stored response into the exchange, or what the plugin has instead. `None`: there is neither.
    fn answer_stored(&self, lent: &mut Lent, index: usize, stored: StoredResponse) -> Option<Result<Answer, Error>> {
        // Looked at only where somebody may want to know.
        let began =
            lent.as_deref().and_then(|exchange| exchange.trace.as_ref()?.record.as_ref()).map(|_| Instant::now());
        let hit = lent.as_deref().and_then(|exchange| {
            let store = &self.chain.stored;
            let request = &exchange.request;
            let name = kept_by(&stored.key);
            let key = self.key(exchange, index, &name);
            let hit = store.find(&key, request.asked_method().expose(), &request.headers, store.now())?;
            let upstream = exchange.response.as_ref().filter(|_| exchange.source == ResponseSource::Upstream);
            let forwarded = request.sent.then(|| upstream.map(|response| response.status));
            Some(hit.with_cache_status(forwarded))
        });
        match hit {
            Some(hit) => {
                note(lent, index, began);
                let source = ResponseSource::Stored(index);
                Some(Ok(place(lent, source, hit.status, hit.headers, Body::full(hit.body))))
            }
            None => stored.otherwise.map(|otherwise| self.answer(lent, index, otherwise)),
        }
    }

    /// Begins to keep the response where the plugin asked for it and the rules allow it.
    pub(super) fn keep(&self, lent: &mut Lent, index: usize, source: ResponseSource, body: Body) -> Body {
        let Some(exchange) = lent.as_deref_mut() else { return body };
        let Some(asked) = exchange.scratch.get_mut(index).and_then(|scratch| scratch.store.take()) else {
            return body;
        };
        let Some(response) = &exchange.response else { return body };
        if source != ResponseSource::Upstream {
            return body;
        }
        let name = kept_by(asked.key.expose());
        let key = self.key(exchange, index, &name);
        let storing = self.chain.links[index].storing();
        let draft = storable(&exchange.request, response, key.readers, storing, asked.ttl)
            .ok()
            .and_then(|ttl| self.chain.stored.draft(&key, &exchange.request.headers, response, ttl, self.identity));
        match draft {
            Some(draft) if body.is_end_stream() => {
                self.chain.stored.put(draft, self.chain.stored.now());
                body
            }
            Some(draft) => Body::boxed(Tee { body, draft: Some(draft), stored: self.chain.stored.clone() }),
            None => body,
        }
    }

    /// By what the client asked for: what plugins rewrite must not change the key of a stored response.
    fn key<'a>(&'a self, exchange: &'a Exchange, index: usize, plugin: &'a str) -> Key<'a> {
        let (authority, target) = exchange.request.asked_target();
        let (authority, target) = (authority.into_exposed(), target.into_exposed());
        let storing = self.chain.links[index].storing();
        let readers = Readers::of(storing.shared, exchange.principal().map(Sensitive::into_exposed));
        let entry = &self.chain.entries[index];
        let caller = caller(&exchange.request, readers, storing);
        Key { entry, scheme: exchange.request.scheme, authority, target, readers, caller, plugin }
    }
}

/// Notes for the exchange's trace that the answer came from the store.
fn note(lent: &mut Lent, by: usize, began: Option<Instant>) {
    let trace = lent.as_deref_mut().and_then(|exchange| exchange.trace.as_mut());
    if let (Some(record), Some(began)) = (trace.and_then(Trace::record), began) {
        record.stored(StoredRecord { by, began, ended: Instant::now() });
    }
}

/// The body stays on an answer to HEAD, because its length is told there too (RFC 9110 section 8.6); the end of the
/// exchange takes it off.
fn place(lent: &mut Lent, source: ResponseSource, status: StatusCode, headers: FieldMap, body: Body) -> Answer {
    if let Some(exchange) = lent.as_deref_mut() {
        exchange.response = Some(ResponseHead::new(status, headers));
        exchange.source = source;
    }
    let body = if content::is_allowed(status) { body } else { Body::empty() };
    Answer { source, body }
}
