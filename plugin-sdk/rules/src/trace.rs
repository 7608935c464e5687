//! `trace`: which attributes and spans a plugin may add to the trace of an exchange, and how many.

mod notes;

pub use notes::{Attribute, Notes, Span};

use crate::fields::FieldError;

/// Attributes of one plugin in one exchange, those of its spans among them.
pub const MAX_ATTRIBUTES: usize = 32;
/// Spans of one plugin in one exchange.
pub const MAX_SPANS: usize = 32;
/// Bytes of a name.
const MAX_NAME: usize = 64;
/// Bytes of a text.
const MAX_TEXT: usize = 256;

/// The value of an attribute, of the kinds that OpenTelemetry has for one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<Text = Box<str>> {
    /// A text.
    Text(Text),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// True or false.
    Truth(bool),
}

/// Whether it may be a name, of an attribute or of a span: namespaces with dots between them, words with underscores between
/// them (OpenTelemetry semantic conventions, "Naming"). A name that follows them can't hold what came from a client but
/// on purpose.
///
/// # Errors
/// `InvalidName`.
pub fn check_name(name: &str) -> Result<(), FieldError> {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    let ends = name.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit());
    let parts = |byte: u8| matches!(byte, b'.' | b'_');
    let made = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || parts(byte));
    let apart = !name.as_bytes().windows(2).any(|pair| pair.iter().all(|byte| parts(*byte)));
    if begins && ends && made && apart && name.len() <= MAX_NAME { Ok(()) } else { Err(FieldError::InvalidName) }
}

/// Whether it may be an attribute.
///
/// # Errors
/// `InvalidName`, see [`check_name`]; `TooLarge` for a text of more than 256 bytes; `InvalidValue` for what is no number, which
/// has no form in JSON.
pub fn check_attribute<Text: AsRef<str>>(name: &str, value: &Value<Text>) -> Result<(), FieldError> {
    check_name(name)?;
    match value {
        Value::Text(text) if text.as_ref().len() > MAX_TEXT => Err(FieldError::TooLarge),
        Value::Real(number) if !number.is_finite() => Err(FieldError::InvalidValue),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_opentelemetry() {
        for name in ["a", "decision", "rate_limit.remaining", "http2.x_1", &"a".repeat(MAX_NAME)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in
            ["", "A", "1a", ".a", "a.", "_a", "a_", "a..b", "a__b", "a._b", "a b", "a-b", "å", "a\n", &"a".repeat(65)]
        {
            assert_eq!(check_name(name), Err(FieldError::InvalidName), "{name}");
        }
    }

    #[test]
    fn values_are_bounded_and_have_a_form_everywhere() {
        let check = |value: Value<String>| check_attribute("a", &value);
        assert_eq!(check(Value::Text("x".repeat(MAX_TEXT))), Ok(()));
        assert_eq!(check(Value::Text("x".repeat(MAX_TEXT + 1))), Err(FieldError::TooLarge));
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(check(Value::Real(number)), Err(FieldError::InvalidValue));
        }
        for value in [Value::Real(-0.5), Value::Integer(i64::MIN), Value::Truth(true), Value::Text(String::new())] {
            assert_eq!(check(value), Ok(()));
        }
        assert_eq!(check_attribute("A", &Value::<String>::Truth(true)), Err(FieldError::InvalidName));
    }
}
