//! Where spans come from.

use super::value;
use crate::model::{Resource, Scope, Value};

/// What is the same in all spans.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) service_name: String,
    /// Tags by their names, unless a span has one of that name itself.
    pub(super) tags: Vec<(String, String)>,
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
