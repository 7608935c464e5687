//! Bytes as text: hex and base64 (RFC 4648), and the parts of a form.
//!
//! ```
//! use plugin_sdk::encoding::{base64, base64url, from_base64, from_base64url, from_hex, hex};
//! assert_eq!(hex(b"\x00\xab"), "00ab");
//! assert_eq!(from_hex("00AB").as_deref(), Some(&b"\x00\xab"[..]));
//! assert_eq!((base64(b"\xff\xef"), base64url(b"\xff\xef")), ("/+8=".to_owned(), "_-8".to_owned()));
//! assert_eq!(from_base64("/+8="), from_base64url("_-8"));
//! assert_eq!((from_hex("0"), from_base64("/+8")), (None, None));
//! ```

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// In lower case.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes, where it is hex in either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// The value of a hexadecimal digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A name or a value of `application/x-www-form-urlencoded`, as `Request::query_params` reads it: broken escapes stay as they are.
pub fn from_form(text: &str) -> String {
    crate::form::form_decode(text)
}

/// With padding (section 4).
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes, where it is base64 with padding and nothing else.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// For URLs and JOSE, without padding (section 5).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes, where it is base64 for URLs without padding and nothing else.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
