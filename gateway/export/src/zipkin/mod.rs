//! The model as Zipkin's JSON, version 2 (<https://zipkin.io/zipkin-api/>, `zipkin2-api.yaml`), by the mapping of
//! OpenTelemetry's "OpenTelemetry to Zipkin Transformation" and, for what that leaves open, of its "Mapping to non-OTLP
//! formats". OpenTelemetry's own exporter for it is deprecated.

mod json;
mod span;
#[cfg(test)]
mod tests;
mod value;

use crate::model::{Resource, Scope, Span, Value};

/// What is the same in all spans.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    service_name: String,
    /// Tags by their names, unless a span has one of that name itself.
    tags: Vec<(String, String)>,
}

impl Origin {
    pub(crate) fn new(resource: &Resource, scope: &Scope) -> Self {
        let mut service_name = String::new();
        let mut tags = Vec::new();
        for attribute in resource.all() {
            let value = value::tag(&attribute.value).into_owned();
            // It has a field of its own.
            if attribute.key == "service.name" && matches!(attribute.value, Value::Str(_)) {
                service_name = value;
            } else {
                tags.push((attribute.key.into_string(), value));
            }
        }
        for (key, value) in [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)] {
            if !value.is_empty() {
                tags.push((key.to_owned(), value.as_str().to_owned()));
            }
        }
        Self { service_name, tags }
    }
}

/// The body of a request with spans.
pub(crate) fn spans(origin: &Origin, spans: &[Span]) -> Vec<u8> {
    let mut into = Vec::with_capacity(spans.len() * 512);
    json::list(&mut into, spans, |into, span| span::write(into, origin, span));
    into
}
