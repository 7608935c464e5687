//! Attributes, and where telemetry comes from.

use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::resource::v1 as resource;

use crate::model::{KeyValue, Resource, Scope, Text, Value};

/// What is the same in all requests.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) resource: resource::Resource,
    pub(super) scope: proto::InstrumentationScope,
}

impl Origin {
    pub(crate) fn new(resource: &Resource, scope: &Scope) -> Self {
        let attributes = resource.all().map(attribute).collect();
        Self {
            resource: resource::Resource { attributes, ..Default::default() },
            scope: proto::InstrumentationScope {
                name: scope.name.as_str().to_owned(),
                version: scope.version.as_str().to_owned(),
                ..Default::default()
            },
        }
    }
}

/// Attributes.
pub(super) fn attributes(attributes: Vec<KeyValue>) -> Vec<proto::KeyValue> {
    attributes.into_iter().map(attribute).collect()
}

fn attribute(attribute: KeyValue) -> proto::KeyValue {
    proto::KeyValue {
        key: attribute.key.into_string(),
        value: Some(proto::AnyValue { value: Some(value(attribute.value)) }),
        ..Default::default()
    }
}

/// What an attribute says.
fn value(value: Value) -> proto::any_value::Value {
    use proto::any_value::Value as Proto;
    match value {
        Value::Str(text) => Proto::StringValue(text.into_string()),
        Value::Int(number) => Proto::IntValue(number),
        Value::Double(number) => Proto::DoubleValue(number),
        Value::Bool(is) => Proto::BoolValue(is),
        Value::StrList(texts) => Proto::ArrayValue(proto::ArrayValue { values: texts.into_iter().map(text).collect() }),
    }
}

/// A text.
pub(super) fn text(text: Text) -> proto::AnyValue {
    proto::AnyValue { value: Some(proto::any_value::Value::StringValue(text.into_string())) }
}
