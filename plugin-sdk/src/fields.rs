//! Header fields and trailers of one message.

use std::fmt;

use crate::raw;

pub use crate::bindings::edge::gateway::http::FieldError;
use crate::bindings::edge::gateway::http::Part;

/// A field is there several times, and one was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the field is there several times")
    }
}

impl std::error::Error for Repeated {}

/// More than may be kept: by [`crate::Exchange::set_state`] 64 KiB, by [`crate::kv::set`] 2 MiB. What was there before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more than may be kept")
    }
}

impl std::error::Error for TooLarge {}

fn text(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned())
}

/// The header fields or the trailers of a message. Names are case-insensitive.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub(crate) of: raw::Handle<'a>,
    pub(crate) part: Part,
}

impl Fields<'_> {
    /// The first value of this name. What isn't UTF-8 is replaced (U+FFFD), so that a field which is there is never taken for
    /// none. A client may send a field several times, and who comes later may go by another one of them: where you decide by
    /// it, use [`Fields::header_once`].
    pub fn header(&self, name: &str) -> Option<String> {
        self.header_bytes(name).map(text)
    }

    /// The value of a field that decides something, such as a credential: as [`Fields::header`], where it is there once.
    ///
    /// # Errors
    /// Where it is there several times, so that nobody knows which one others go by.
    pub fn header_once(&self, name: &str) -> Result<Option<String>, Repeated> {
        let mut values = self.header_all(name);
        if values.len() > 1 { Err(Repeated) } else { Ok(values.pop().map(text)) }
    }

    /// The first value of this name.
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        raw::exchange::get(self.of, self.part, name)
    }

    /// All values of this name, in order.
    pub fn header_all(&self, name: &str) -> Vec<Vec<u8>> {
        raw::exchange::get_all(self.of, self.part, Some(name)).into_iter().map(|field| field.value).collect()
    }

    /// All fields, names in lower case. One call: cheaper than about ten single reads.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        raw::exchange::get_all(self.of, self.part, None).into_iter().map(|field| (field.name, field.value)).collect()
    }

    /// Sets a field, in place of all of its name.
    ///
    /// # Errors
    /// Why it is not set. A field of a request is removed then: what the client sent does not stand for what the plugin makes
    /// of it.
    pub fn set_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        raw::exchange::set(self.of, self.part, name, value.as_ref())
    }

    /// Adds a field beside those of its name.
    pub fn append_header(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        raw::exchange::append(self.of, self.part, name, value.as_ref())
    }

    /// Removes all fields of this name; none is no error.
    pub fn remove_header(&self, name: &str) -> Result<(), FieldError> {
        raw::exchange::remove(self.of, self.part, name)
    }
}

/// Whether a text can be the value of a field as it stands: printable ASCII, and no space at either end. For configs:
/// what is checked there can't fail in [`Fields::set_header`] later.
///
/// ```
/// use plugin_sdk::is_header_value;
/// assert!(is_header_value("max-age=60, public") && is_header_value(""));
/// assert!(!is_header_value("a\r\nset-cookie: b") && !is_header_value(" padded") && !is_header_value("æ"));
/// ```
pub fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim_ascii() == text
}
