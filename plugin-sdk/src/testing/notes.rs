//! What a plugin has added to the trace of an exchange, and told the audit trail, for a test to look at.

use std::time::Duration;

use plugin_rules::trace;

use super::Run;
use crate::Plugin;
use crate::audit::{Action, Place};
use crate::bindings::edge::gateway::trace::Context;
use crate::trace::{TraceContext, Value};

/// Of the test host: spans are known by their places, time is that of the virtual clock.
pub(crate) type TraceNotes = trace::Notes<(), Duration>;

/// The place of an exchange in a trace that is recorded.
pub(super) const RECORDED: TraceContext = TraceContext::of(Context {
    trace_high: 0x0af7_6519_16cd_43dd,
    trace_low: 0x8448_eb21_1c80_319c,
    span: 0x00f0_67aa_0ba9_02b7,
    trace_flags: 1,
    recorded: true,
});

/// A span that the plugin has begun and ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSpan {
    /// Its name.
    pub name: String,
    /// The name of the plugin's span that it stands below.
    pub parent: Option<String>,
    /// How long it lasted.
    pub took: Duration,
    /// Its attributes.
    pub attributes: Vec<(String, Value)>,
}

impl TestSpan {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// What the audit trail was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// The category of personal data.
    pub category: String,
    /// Where it was seen, in the contract's word.
    pub place: String,
    /// What was done with it, in the contract's word.
    pub action: String,
    /// How often.
    pub count: u64,
}

impl<P: Plugin> Run<'_, P> {
    /// An attribute that the plugin has added to the exchange's span.
    pub fn trace_attribute(&self, name: &str) -> Option<Value> {
        self.attributes_of(None).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The spans that the plugin has begun, in that order.
    pub fn spans(&self) -> Vec<TestSpan> {
        let notes = self.data.trace_notes.borrow();
        let spans = notes.spans();
        let each = |(at, span): (usize, &trace::Span<(), Duration>)| TestSpan {
            name: span.name.to_string(),
            parent: span.parent.and_then(|parent| Some(spans.get(parent)?.name.to_string())),
            took: span.ended.unwrap_or(span.began).saturating_sub(span.began),
            attributes: self.attributes_of(Some(at)),
        };
        spans.iter().enumerate().map(each).collect()
    }

    /// What the audit trail was told, in that order.
    pub fn audit_notes(&self) -> Vec<AuditNote> {
        let notes = self.data.audit_notes.borrow();
        let each = |note: &plugin_rules::audit::Note| AuditNote {
            category: note.category.to_string(),
            place: note.place.name().to_owned(),
            action: note.action.name().to_owned(),
            count: note.count,
        };
        notes.as_slice().iter().map(each).collect()
    }

    /// How often the audit trail was told that.
    pub fn audited(&self, category: &str, place: Place, action: Action) -> u64 {
        let is =
            |note: &AuditNote| note.category == category && note.place == place.name() && note.action == action.name();
        self.audit_notes().into_iter().find(is).map_or(0, |note| note.count)
    }

    fn attributes_of(&self, span: Option<usize>) -> Vec<(String, Value)> {
        let notes = self.data.trace_notes.borrow();
        let of = notes.attributes().iter().filter(|attribute| attribute.span == span);
        of.map(|attribute| (attribute.name.to_string(), value(&attribute.value))).collect()
    }
}

fn value(of: &trace::Value) -> Value {
    match of {
        trace::Value::Text(text) => Value::Text(text.to_string()),
        trace::Value::Integer(number) => Value::Integer(*number),
        trace::Value::Real(number) => Value::Real(*number),
        trace::Value::Truth(truth) => Value::Truth(*truth),
    }
}
