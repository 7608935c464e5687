//! Responses that come from the plugin, from what was stored, or from the gateway in their place.

use super::{Asked, Run};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::FieldList;
use crate::testing::owned_by_host;
use crate::testing::stored::{self, Readers};
use crate::{LocalResponse, Plugin};

impl<P: Plugin> Run<'_, P> {
    pub(super) fn place(&self, status: u16, headers: FieldList, source: &str) {
        *self.data.part(Part::Response).borrow_mut() = headers;
        self.data.part(Part::ResponseTrailers).borrow_mut().clear();
        self.data.responded.set(true);
        self.measure("response.status", status.into());
        self.data.properties.borrow_mut().insert("response.source".to_owned(), source.to_owned());
    }

    pub(super) fn status(&self) -> u16 {
        let status = self.data.measures.borrow().get("response.status").copied();
        status.and_then(|status| status.try_into().ok()).unwrap_or(0)
    }

    pub(super) fn has_no_body(&self) -> bool {
        self.asked.method == "HEAD" || matches!(self.status(), 204 | 304)
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

    pub(super) fn place_local(&self, response: LocalResponse) -> Vec<u8> {
        assert!((200..600).contains(&response.status), "answered with a status outside 200 to 599: {response:?}");
        let mut fields = FieldList::new();
        for (name, value) in response.headers {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(token), "answered with an invalid field name: {name:?}");
            let visible = |byte: &u8| (*byte >= 0x20 || *byte == b'\t') && *byte != 0x7f;
            assert!(value.iter().all(visible), "answered with an invalid value of {name}");
            let name = name.to_ascii_lowercase();
            if !owned_by_host(&name) {
                fields.push((name, value));
            }
        }
        self.place(response.status, fields, "plugin");
        response.body
    }

    /// False where there is neither.
    pub(super) fn answer_stored(&mut self, key: &str, otherwise: Option<LocalResponse>) -> bool {
        let body = self.place_stored(key, otherwise);
        body.map(|body| self.deliver(vec![body], false)).is_some()
    }

    pub(super) fn place_stored(&self, key: &str, otherwise: Option<LocalResponse>) -> Option<Vec<u8>> {
        let answered = || self.data.responded.get().then(|| self.status());
        let hit = stored::find(
            &self.host.0.stored.borrow(),
            &self.key(key),
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
        self.attribute("principal").filter(|name| !name.is_empty())
    }

    /// Whose stored responses these are.
    pub(super) fn readers(&self) -> Readers {
        match self.principal() {
            _ if self.host.0.shared.get() => Readers::All,
            Some(_) => Readers::Principal,
            None => Readers::Unnamed,
        }
    }

    /// What the host adds to the plugin's part of a key.
    pub(super) fn key(&self, plugin: &str) -> String {
        let Asked { scheme, authority, target, .. } = &self.asked;
        let readers = self.readers();
        let request = self.data.part(Part::Request).borrow();
        let caller = stored::caller(&request, &self.data.edited.borrow(), readers, self.data.named_here.get());
        let principal = self.principal().filter(|_| readers == Readers::Principal);
        format!("{:?}", (scheme, authority, target, readers, principal, caller, plugin))
    }
}
