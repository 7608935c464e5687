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
