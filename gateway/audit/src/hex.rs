//! Fixed-length values that are written as lower-case hex: hashes, ids, pseudonyms.

use std::fmt;

/// What is not the hex form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {0} lower-case hex digits")]
pub struct InvalidHex(pub(crate) usize);

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the hex form of bytes.
pub(crate) fn push(into: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        into.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Writes the hex form of bytes.
pub(crate) fn write(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// Bytes from their hex form: lower case only, so that one value has one form.
pub(crate) fn parse<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Declares a type of so many bytes whose text form is hex.
macro_rules! hex_type {
    ($(#[$meta:meta])* $name:ident, $length:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $length]);

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::hex::write(out, &self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, out)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::hex::InvalidHex;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::hex::parse(text.as_bytes()).map(Self).ok_or($crate::hex::InvalidHex(2 * $length))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut text = Vec::with_capacity(2 * $length);
                $crate::hex::push(&mut text, &self.0);
                to.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::text::parsed(from)
            }
        }
    };
}
pub(crate) use hex_type;

hex_type!(
    /// A SHA-256 hash of the chain.
    Hash,
    32
);

impl Hash {
    /// What the first record of a chain has for the hash of the one before.
    pub const NONE: Self = Self([0; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_form() {
        let hash = Hash([0xa5; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!("A5".repeat(32).parse::<Hash>(), Err(InvalidHex(64)));
        assert_eq!("a5".repeat(31).parse::<Hash>(), Err(InvalidHex(64)));
        assert_eq!("ag".repeat(32).parse::<Hash>(), Err(InvalidHex(64)));
    }
}
