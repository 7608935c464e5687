//! Where telemetry comes from.

use super::{KeyValue, Text};

/// The process that telemetry comes from, by OpenTelemetry's conventions for resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// `service.name`.
    pub service_name: Text,
    /// `service.version`.
    pub service_version: Text,
    /// `service.instance.id`: which of several gateways.
    pub service_instance_id: Text,
    /// What the operator adds, such as `deployment.environment.name`.
    pub attributes: Vec<KeyValue>,
}

/// The part of the program that makes telemetry (OpenTelemetry calls it the instrumentation scope).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: Text,
    /// Its version.
    pub version: Text,
}

impl Resource {
    /// All that is known of it, as attributes: what is empty is left out, and what the operator says of the service itself
    /// takes the place of ours.
    pub(crate) fn all(&self) -> impl Iterator<Item = KeyValue> {
        let own = [
            ("service.name", &self.service_name),
            ("service.version", &self.service_version),
            ("service.instance.id", &self.service_instance_id),
        ];
        let is_said = |key: &str| self.attributes.iter().any(|attribute| attribute.key == *key);
        let own = own.into_iter().filter(move |(key, value)| !value.is_empty() && !is_said(key));
        own.map(|(key, value)| KeyValue::new(key, value.clone())).chain(self.attributes.iter().cloned())
    }
}
