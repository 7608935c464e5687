//! What is wrong with a value, in the words that the gateway has for its own part of the file. serde calls back for each
//! kind of mistake, so nothing has to be read out of its sentences.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Longest text that a message repeats.
const SHOWN: usize = 60;

/// A mistake.
#[derive(Debug)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) message: String,
    /// The key that is unknown, where that is it.
    pub(super) unknown_key: Option<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), unknown_key: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", wanted(&expected.to_string()), found(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {length} values", wanted(&expected.to_string())))
    }

    fn unknown_variant(name: &str, names: &'static [&'static str]) -> Self {
        Self::custom(format_args!("\"{}\" is unknown; use {}", shorten(name), either(names)))
    }

    fn unknown_field(key: &str, keys: &'static [&'static str]) -> Self {
        let valid = if keys.is_empty() { "there are none".to_owned() } else { format!("valid: {}", keys.join(", ")) };
        Self { message: format!("unknown key \"{}\"; {valid}", shorten(key)), unknown_key: Some(key.to_owned()) }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::custom(format_args!("\"{key}\" is missing"))
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::custom(format_args!("\"{key}\" is given twice"))
    }
}

/// What serde expected, as the config calls it.
fn wanted(serde: &str) -> String {
    let most = |most: u64| format!("a whole number from 0 to {most}");
    match serde {
        "a string" | "a borrowed string" | "a formatted string" => "text".to_owned(),
        "a character" => "one character".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" | "null" => "nothing".to_owned(),
        "string or map" | "variant identifier" => "a name".to_owned(),
        "u8" => most(u8::MAX.into()),
        "u16" => most(u16::MAX.into()),
        "u32" => most(u32::MAX.into()),
        "u64" | "usize" | "u128" => "a whole number, not below 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        other if other.starts_with("a nonzero ") => "a whole number above 0".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other if other.starts_with("enum ") => "a name".to_owned(),
        other => other.to_owned(),
    }
}

/// What was there instead. (What must not be shown, the gateway takes out: it knows which values are secrets.)
fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the text \"{}\"", shorten(text)),
        Unexpected::Char(text) => format!("the text \"{text}\""),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// `a, b or c`.
fn either(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
