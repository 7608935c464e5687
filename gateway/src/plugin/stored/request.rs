//! The gateway's requests and responses as the rules of `plugin_rules::stored` want them.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method};
use plugin_rules::fields::Fields;
use plugin_rules::stored::{self, Edit, Readers, Refusal};

use crate::exchange::{RequestHead, ResponseHead};
use crate::message::{FieldMap, FieldName, FieldValue};
use crate::model::Storing;

/// Fields of a message.
pub(in crate::plugin) struct Values<'a>(pub(in crate::plugin) &'a FieldMap);

impl Fields for Values<'_> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name).map(FieldValue::expose)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names().map(FieldName::expose_str)
    }
}

/// A request, and what the operator says of it.
struct Asked<'a> {
    head: &'a RequestHead,
    fields: Values<'a>,
    storing: &'a Storing,
}

impl<'a> Asked<'a> {
    const fn new(head: &'a RequestHead, storing: &'a Storing) -> Self {
        Self { head, fields: Values(&head.headers), storing }
    }
}

impl stored::Request for Asked<'_> {
    fn is_get(&self) -> bool {
        *self.head.asked_method() == Method::GET && self.head.method == Method::GET
    }

    fn fields(&self) -> &impl Fields {
        &self.fields
    }

    fn edits(&self) -> impl Iterator<Item = Edit<'_, impl Iterator<Item = &[u8]> + Clone>> {
        self.head.field_edits().iter().map(|edit| Edit {
            name: edit.name.expose().as_str(),
            sent: edit.sent.expose().iter().map(HeaderValue::as_bytes),
            by_namer: self.head.edits.principal_by == Some(edit.by),
        })
    }

    fn is_named_credential(&self, name: &str) -> bool {
        self.storing.credentials.iter().any(|named| named.as_str() == name)
    }
}

/// How long a response may be kept, or why it may not. `ttl` is what the plugin asks for, `readers` who would get it.
pub fn storable(
    asked: &RequestHead,
    answer: &ResponseHead,
    readers: Readers<'_>,
    storing: &Storing,
    ttl: Duration,
) -> Result<Duration, Refusal> {
    let response = (answer.status.as_u16(), &Values(&answer.headers));
    stored::storable(&Asked::new(asked, storing), response, (readers, storing.unmarked), ttl, SystemTime::now())
}

/// What tells callers apart beside the principal; `None` where there is nothing.
pub fn caller(asked: &RequestHead, readers: Readers<'_>, storing: &Storing) -> Option<[u8; 32]> {
    stored::caller(&Asked::new(asked, storing), readers)
}
