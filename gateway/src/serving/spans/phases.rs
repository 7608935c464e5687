//! Spans of what plugins did: a span for each of their phases, and those that they made themselves.

use std::time::Duration;

use telemetry_export::model::{KeyValue, Kind, Span, Status, Text, Value};

use super::attributes::*;
use super::build::{Build, Piece};
use crate::trace::{self, PhaseOutcome, PhaseRecord, told_name};

/// What takes less is nothing that anybody could look for.
const MEASURABLE: Duration = Duration::from_micros(1);

impl Build<'_> {
    /// The phases that took time or failed, and what plugins made.
    pub(super) fn phases(&self, into: &mut Vec<Span>) {
        for phase in self.record.phases() {
            if phase.busy >= MEASURABLE || matches!(phase.outcome, PhaseOutcome::Failed(_)) || self.has_spans(phase) {
                into.push(self.phase(phase));
            }
        }
        self.made(into);
    }

    /// Whether the plugin made spans of its own in it, which then stand below it.
    fn has_spans(&self, of: &PhaseRecord) -> bool {
        let mut made = self.trace.notes.iter().flat_map(|notes| notes.spans());
        made.any(|span| span.by == of.by && span.phase == of.phase)
    }

    fn phase(&self, phase: &PhaseRecord) -> Span {
        let mut attributes = Vec::with_capacity(8);
        let name = match self.plugin(phase.by) {
            Some((name, version)) => {
                let text = format!("{} {}", name.as_str(), phase.phase.name());
                attributes.push(KeyValue::new(PLUGIN, name));
                attributes.push(KeyValue::new(PLUGIN_VERSION, version));
                Text::Owned(text)
            }
            None => Text::Static(phase.phase.name()),
        };
        attributes.push(KeyValue::new(PHASE, phase.phase.name()));
        attributes.push(KeyValue::new(HOST_CALLS, phase.host_calls));
        if phase.calls > 1 {
            attributes.push(KeyValue::new(CALLS, phase.calls));
            attributes.push(KeyValue::new(BUSY, phase.busy.as_secs_f64() * 1e3));
        }
        let status = match phase.outcome {
            PhaseOutcome::Did(action) => {
                attributes.push(KeyValue::new(ACTION, action));
                Status::Unset
            }
            PhaseOutcome::Failed(reason) => {
                attributes.push(KeyValue::new(ERROR_TYPE, reason));
                Status::Error(Text::EMPTY)
            }
        };
        let id = self.phase_span(phase.by, phase.phase);
        let (parent, kind) = (self.trace.span, Kind::Internal);
        self.span(Piece { id, parent, name, kind, began: phase.began, ended: phase.ended }, attributes, status)
    }

    /// Spans that plugins made.
    fn made(&self, into: &mut Vec<Span>) {
        let made = self.trace.notes.as_ref().map(|notes| notes.spans()).unwrap_or_default();
        for (number, span) in made.iter().enumerate() {
            let parent = span.parent.and_then(|parent| made.get(parent)).map(|parent| parent.id);
            let parent = parent.unwrap_or_else(|| self.phase_span(span.by, span.phase));
            let mut attributes = Vec::new();
            if let Some((name, version)) = self.plugin(span.by) {
                attributes.push(KeyValue::new(PLUGIN, name));
                attributes.push(KeyValue::new(PLUGIN_VERSION, version));
            }
            self.plugins_attributes(Some(number), &mut attributes);
            let (began, ended) = (span.began, span.ended.unwrap_or_else(|| self.end()));
            let name = Text::Owned(String::from(span.name.clone()));
            let piece = Piece { id: span.id, parent, name, kind: Kind::Internal, began, ended };
            into.push(self.span(piece, attributes, Status::Unset));
        }
    }

    /// Adds what plugins said of one of their spans, or of the exchange's (`None`). Gives how much of that there was no room
    /// for.
    pub(super) fn plugins_attributes(&self, span: Option<usize>, attributes: &mut Vec<KeyValue>) -> u32 {
        let Some(notes) = &self.trace.notes else { return 0 };
        for said in notes.attributes().iter().filter(|said| said.span == span) {
            let Some((name, _)) = self.plugin(said.by) else { continue };
            let value: Value = match &said.value {
                trace::Value::Text(text) => String::from(text.clone()).into(),
                trace::Value::Integer(number) => (*number).into(),
                trace::Value::Real(number) => (*number).into(),
                trace::Value::Truth(truth) => (*truth).into(),
            };
            attributes.push(KeyValue::new(told_name(name.as_str(), &said.name), value));
        }
        notes.dropped().0
    }
}
