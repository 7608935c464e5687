//! Spans of the calls that plugins made, and of an answer from the store.

use telemetry_export::model::{KeyValue, Kind, Span, Status, Text};

use super::attributes::*;
use super::build::{Build, Piece};
use crate::trace::{CallRecord, numbers};

impl Build<'_> {
    /// A span for each call, below the plugin's phase or the span that it was made in.
    pub(super) fn calls(&self, into: &mut Vec<Span>) {
        into.extend(self.record.calls().iter().map(|call| self.call(call)));
    }

    fn call(&self, call: &CallRecord) -> Span {
        let mut attributes = vec![KeyValue::new(METHOD, call.method), KeyValue::new(UPSTREAM, call.upstream.clone())];
        attributes.extend(self.plugin(call.by).map(|(name, _)| KeyValue::new(PLUGIN, name)));
        let status = match call.outcome {
            Ok(status) => {
                attributes.push(KeyValue::new(STATUS, status));
                if status >= 400 {
                    attributes.push(KeyValue::new(ERROR_TYPE, status.to_string()));
                    Status::Error(Text::EMPTY)
                } else {
                    Status::Unset
                }
            }
            Err(reason) => {
                attributes.push(KeyValue::new(ERROR_TYPE, reason));
                Status::Error(Text::EMPTY)
            }
        };
        let parent = call.parent.unwrap_or_else(|| self.phase_span(call.by, call.phase));
        let name = Text::Static(call.method);
        let (id, kind) = (call.span, Kind::Client);
        self.span(Piece { id, parent, name, kind, began: call.began, ended: call.ended }, attributes, status)
    }

    /// The span of an answer from the store, where there was one.
    pub(super) fn stored(&self, into: &mut Vec<Span>) {
        let Some(stored) = self.record.from_store() else { return };
        let attributes = self.plugin(stored.by).map(|(name, _)| KeyValue::new(PLUGIN, name)).into_iter().collect();
        let piece = Piece {
            id: self.trace.span.below(numbers::STORED),
            parent: self.trace.span,
            name: Text::Static("stored response"),
            kind: Kind::Internal,
            began: stored.began,
            ended: stored.ended,
        };
        into.push(self.span(piece, attributes, Status::Unset));
    }
}
