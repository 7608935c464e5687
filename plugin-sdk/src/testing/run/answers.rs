//! Responses that come from the plugin, from what was stored, or from the gateway in their place.

use plugin_rules::kv::kept_by;
use plugin_rules::notes::PRINCIPAL;
use plugin_rules::response::{self, INVALID_STATUS, INVALID_VALUE};
use plugin_rules::stored::{Key, Readers, caller};

use super::{Asked, Run};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::data::exchange_calls;
use crate::testing::message::FieldList;
use crate::testing::stored::{self, Sent};
use crate::{LocalResponse, Plugin};

impl<P: Plugin> Run<'_, P> {
    pub(super) fn place(&self, status: u16, headers: FieldList, source: &str) {
        *self.data.part(Part::Response).borrow_mut() = headers;
        self.data.part(Part::ResponseTrailers).borrow_mut().clear();
        self.data.barred.borrow_mut().clear();
        self.data.responded.set(true);
        self.measure("response.status", status.into());
        self.data.properties.borrow_mut().insert("response.source".to_owned(), source.to_owned());
    }

    pub(super) fn status(&self) -> u16 {
        let status = self.data.measures.borrow().get("response.status").copied();
        status.and_then(|status| status.try_into().ok()).unwrap_or(0)
    }

    pub(super) fn has_no_body(&self) -> bool {
        self.asked.method == "HEAD" || !response::may_have_content(self.status())
    }

    /// The gateway's own response, which the response phases see as well.
    pub(super) fn gateway_answers(&mut self, status: u16) {
        let body = self.place_gateway(status);
        self.response_phases(vec![body], Vec::new(), None);
    }

    pub(super) fn place_gateway(&self, status: u16) -> Vec<u8> {
        let response = LocalResponse::problem(status, "Error", "").header("cache-control", "no-store");
        self.place(status, response.headers, "gateway");
        response.body
    }

    /// The plugin's own response: its response phases don't see it.
    pub(super) fn answer(&mut self, response: LocalResponse) {
        let body = self.place_local(response);
        self.deliver(vec![body], false);
    }

    pub(super) fn place_local(&self, answer: LocalResponse) -> Vec<u8> {
        assert!(response::is_status(answer.status), "{INVALID_STATUS}: {answer:?}");
        let bytes = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if let Err(breach) = response::check_size(answer.headers.len(), bytes) {
            panic!("{breach}");
        }
        let mut fields = FieldList::new();
        for (name, value) in answer.headers {
            match exchange_calls::field_name(Part::Response, &name) {
                Ok(lower) => match exchange_calls::field_value(&value) {
                    Ok(value) => fields.push((lower, value)),
                    Err(_) => panic!("{INVALID_VALUE}: {name}"),
                },
                Err(error) => {
                    if let Some(breach) = response::on_refused_name(&name, error) {
                        panic!("{breach}: {name:?}");
                    }
                }
            }
        }
        self.place(answer.status, fields, "plugin");
        answer.body
    }

    /// False where there is neither.
    pub(super) fn answer_stored(&mut self, key: &str, otherwise: Option<LocalResponse>) -> bool {
        let body = self.place_stored(key, otherwise);
        body.map(|body| self.deliver(vec![body], false)).is_some()
    }

    pub(super) fn place_stored(&self, key: &str, otherwise: Option<LocalResponse>) -> Option<Vec<u8>> {
        let answered = || self.data.responded.get().then(|| self.status());
        let principal = self.principal();
        let readers = Readers::of(self.host.0.shared.get(), principal.as_deref());
        let hit = stored::find(
            &self.host.0.stored.borrow(),
            &self.key(readers, &kept_by(key)),
            (&self.asked.method, &self.data.part(Part::Request).borrow()),
            self.data.request_sent.get().then(answered),
            self.host.0.elapsed(),
        );
        match hit {
            Some(hit) => {
                self.place(hit.status, hit.headers, "stored");
                Some(hit.body)
            }
            None => otherwise.map(|response| self.place_local(response)),
        }
    }

    /// The principal; an empty name is none.
    pub(super) fn principal(&self) -> Option<String> {
        self.attribute(PRINCIPAL).filter(|name| !name.is_empty())
    }

    /// The request as the rules for stored responses want it.
    pub(super) fn with_sent<R>(&self, work: impl FnOnce(&Sent<'_>) -> R) -> R {
        work(&Sent {
            is_get: self.asked.method == "GET" && *self.data.method.borrow() == "GET",
            fields: &self.data.part(Part::Request).borrow(),
            edited: &self.data.edited.borrow(),
            named_here: self.data.named_here.get(),
        })
    }

    /// What the host adds to the plugin's part of a key.
    pub(super) fn key(&self, readers: Readers<'_>, plugin: &str) -> Box<str> {
        let Asked { scheme, authority, target, .. } = &self.asked;
        let caller = self.with_sent(|sent| caller(sent, readers));
        Key { entry: "", scheme, authority, target, readers, caller, plugin }.join()
    }
}
