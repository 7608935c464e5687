//! The model as Zipkin's JSON, version 2 (<https://zipkin.io/zipkin-api/>, `zipkin2-api.yaml`), by the mapping of
//! OpenTelemetry's "OpenTelemetry to Zipkin Transformation" and, for what that leaves open, of its "Mapping to non-OTLP
//! formats". OpenTelemetry's own exporter for it is deprecated.

mod json;
mod origin;
mod span;
#[cfg(test)]
mod tests;
mod value;

use crate::model::Span;
pub(crate) use origin::Origin;

/// The body of a request with spans.
pub(crate) fn spans(origin: &Origin, spans: &[Span]) -> Vec<u8> {
    let mut into = Vec::with_capacity(spans.len() * 512);
    json::list(&mut into, spans, |into, span| span::write(into, origin, span));
    into
}
