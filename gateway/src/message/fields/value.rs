//! Values of fields.

use std::fmt;

use http::HeaderValue;

use crate::sensitive::NOT_SHOWN;

/// The value of a field: visible characters, blanks and what is beyond ASCII (RFC 9110 section 5.5). Nothing is printed of it:
/// see [`crate::sensitive`].
///
/// ```
/// let value = gateway::message::FieldValue::of(b"kari").unwrap();
/// assert_eq!(format!("{value:?}"), "(not shown)");
/// ```
///
/// ```compile_fail
/// let value = gateway::message::FieldValue::of(b"kari").unwrap();
/// assert_eq!(format!("{value}"), "(not shown)");
/// ```
#[derive(Clone, Copy, Default)]
pub struct FieldValue<'a> {
    pub(super) text: &'a [u8],
    pub(super) sensitive: bool,
}

/// Whether this may stand in a value: visible characters, blanks, tabs and what is beyond ASCII.
#[inline]
fn is_value(text: &[u8]) -> bool {
    const EIGHT: usize = size_of::<u64>();
    let suspect = match text.len() {
        0..EIGHT => text.iter().any(|&byte| byte < b' ' || byte == 0x7f),
        // Eight at a time, the last eight once more.
        length => {
            let last = text.get(length - EIGHT..).unwrap_or_default();
            text.chunks_exact(EIGHT).chain([last]).fold(0, |found, eight| found | controls(eight)) != 0
        }
    };
    !suspect || text.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

/// Not 0 where one of eight bytes is a control character.
#[inline]
fn controls(eight: &[u8]) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let bytes = eight.try_into().map_or(0, u64::from_le_bytes);
    let delete = bytes ^ (0x7f * ONES);
    let below = bytes.wrapping_sub(0x20 * ONES) & !bytes;
    (below | delete.wrapping_sub(ONES) & !delete) & (0x80 * ONES)
}

/// A value that is not text: it has bytes beyond ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

impl<'a> FieldValue<'a> {
    /// Of this text; `None` where it is no value: it has a control character.
    #[inline]
    pub fn of(text: &'a [u8]) -> Option<Self> {
        is_value(text).then_some(Self { text, sensitive: false })
    }

    /// Its bytes, for work: not for anything that a person reads.
    #[inline]
    pub const fn expose(self) -> &'a [u8] {
        self.text
    }

    /// How many there are.
    #[inline]
    pub const fn len(self) -> usize {
        self.text.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// Its text, as [`Self::expose`].
    ///
    /// # Errors
    /// Where it is not ASCII: what that means is known to who sent it.
    pub fn expose_str(self) -> Result<&'a str, NotText> {
        if self.text.is_ascii() { std::str::from_utf8(self.text).map_err(|_| NotText) } else { Err(NotText) }
    }

    /// Whether it must not get into a compression context (RFC 7541 section 7.1.3).
    pub const fn is_sensitive(self) -> bool {
        self.sensitive
    }

    /// The value as the `http` crate has it.
    pub fn to_header_value(self) -> HeaderValue {
        // What came or was added is a value.
        let mut value = HeaderValue::from_bytes(self.text).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(self.sensitive);
        value
    }
}

impl fmt::Debug for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

impl PartialEq for FieldValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for FieldValue<'_> {}

impl PartialEq<str> for FieldValue<'_> {
    fn eq(&self, other: &str) -> bool {
        self.text == other.as_bytes()
    }
}

impl PartialEq<&str> for FieldValue<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.text == other.as_bytes()
    }
}

impl PartialEq<HeaderValue> for FieldValue<'_> {
    fn eq(&self, other: &HeaderValue) -> bool {
        self.text == other.as_bytes()
    }
}

/// What is a value of a field already.
pub trait AsFieldValue {
    /// It.
    fn value(&self) -> FieldValue<'_>;
}

impl AsFieldValue for FieldValue<'_> {
    #[inline]
    fn value(&self) -> FieldValue<'_> {
        *self
    }
}

impl AsFieldValue for HeaderValue {
    #[inline]
    fn value(&self) -> FieldValue<'_> {
        FieldValue { text: self.as_bytes(), sensitive: self.is_sensitive() }
    }
}

impl<V: AsFieldValue + ?Sized> AsFieldValue for &V {
    #[inline]
    fn value(&self) -> FieldValue<'_> {
        (**self).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_missed_wherever_it_stands() {
        for length in 0..40 {
            let plain = vec![b'\xe5'; length];
            assert!(FieldValue::of(&plain).is_some(), "{length}");
            for place in 0..length {
                for byte in 0..=255 {
                    let mut text = plain.clone();
                    text[place] = byte;
                    let valid = byte == b'\t' || byte >= b' ' && byte != 0x7f;
                    assert_eq!(FieldValue::of(&text).is_some(), valid, "{byte} at {place} of {length}");
                    assert_eq!(HeaderValue::from_bytes(&text).is_ok(), valid);
                }
            }
        }
    }

    #[test]
    fn a_value_is_text_only_where_it_is_ascii() {
        let of = |text: &'static [u8]| FieldValue { text, sensitive: false };
        assert_eq!(of(b"a b\tc").expose_str(), Ok("a b\tc"));
        assert_eq!(of("å".as_bytes()).expose_str(), Err(NotText));
        assert_eq!((of(b"").len(), of(b"").is_empty(), of(b"a") == "a"), (0, true, true));
        let mut secret = HeaderValue::from_static("secret");
        secret.set_sensitive(true);
        assert!(secret.value().to_header_value().is_sensitive());
    }
}
