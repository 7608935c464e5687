//! Spans.

use opentelemetry_proto::tonic::trace::v1 as proto;
use opentelemetry_proto::tonic::trace::v1::SpanFlags;
use proto::span::SpanKind;
use proto::status::StatusCode;

use super::common::attributes;
use crate::model::{Event, Kind, Span, Status};

pub(super) fn span(span: Span) -> proto::Span {
    proto::Span {
        flags: flags(&span),
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.trace_state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: span.name.into_string(),
        kind: kind(span.kind) as i32,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes,
        events: span.events.into_iter().map(event).collect(),
        dropped_events_count: span.dropped_events,
        status: status(span.status),
        ..Default::default()
    }
}

/// The flags of the trace context, and whether the parent came from elsewhere.
fn flags(span: &Span) -> u32 {
    let is_remote = if span.parent_is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(span.flags) | SpanFlags::ContextHasIsRemoteMask as u32 | is_remote
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}

fn event(event: Event) -> proto::span::Event {
    proto::span::Event {
        time_unix_nano: event.time,
        name: event.name.into_string(),
        attributes: attributes(event.attributes),
        ..Default::default()
    }
}

fn status(status: Status) -> Option<proto::Status> {
    match status {
        Status::Unset => None,
        Status::Ok => Some(proto::Status { code: StatusCode::Ok as i32, ..Default::default() }),
        Status::Error(message) => {
            Some(proto::Status { code: StatusCode::Error as i32, message: message.into_string() })
        }
    }
}
