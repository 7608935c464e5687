//! What attributes say, as tags (which are texts) and as JSON.

use std::borrow::Cow;

use super::json;
use crate::model::Value;

/// As a tag: a number as it is written in English, a list as JSON has it.
pub(super) fn tag(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Str(text) => Cow::Borrowed(text.as_str()),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Double(number) => Cow::Owned(number.to_string()),
        Value::Bool(is) => Cow::Borrowed(if *is { "true" } else { "false" }),
        Value::StrList(_) => {
            let mut list = Vec::new();
            write(&mut list, value);
            Cow::Owned(string(list))
        }
    }
}

/// As JSON.
pub(super) fn write(into: &mut Vec<u8>, value: &Value) {
    match value {
        Value::StrList(texts) => json::list(into, texts, |into, text| json::text(into, text)),
        Value::Int(_) | Value::Bool(_) => into.extend_from_slice(tag(value).as_bytes()),
        Value::Double(number) if number.is_finite() => into.extend_from_slice(tag(value).as_bytes()),
        // JSON has no number for what is none.
        Value::Str(_) | Value::Double(_) => json::text(into, &tag(value)),
    }
}

/// Text that was written here, out of texts.
pub(super) fn string(written: Vec<u8>) -> String {
    String::from_utf8(written).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
