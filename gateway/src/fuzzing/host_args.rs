//! Anything that a guest may hand over for a message: it is refused, or it can't break out of its place.

use http::Uri;

use crate::message::headers::is_made_here;
use crate::message::normalize;
use crate::plugin::call::Field;
use crate::plugin::host::fields::{Part, field_name, field_value};
use crate::plugin::host::response::{response_fields, response_status};
use crate::plugin::host::target::{canonical_authority, canonical_target};

/// Input: a line with an authority, one with the current target, one with the new one; then `name: value`, where the
/// value runs to the next byte 0xff, so that it may hold line breaks.
///
/// # Panics
/// Where what was accepted has a second reading.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || parts.next().unwrap_or_default();
    let (authority, current, target, rest) = (line(), line(), line(), line());
    if let Ok(authority) = std::str::from_utf8(authority)
        && let Some(canonical) = canonical_authority(authority)
    {
        assert_eq!(normalize::authority(&canonical).ok().as_ref(), Some(&canonical), "an authority is not canonical");
    }
    if let (Ok(current), Ok(target)) = (std::str::from_utf8(current), std::str::from_utf8(target)) {
        check_target(target, current);
    }
    let fields: Vec<(String, Vec<u8>)> = rest.split(|byte| *byte == 0xff).filter_map(field).collect();
    for (name, value) in &fields {
        check_field(name, value);
    }
    let made = fields.into_iter().map(|(name, value)| Field { name, value }).collect();
    if let Ok(headers) = response_fields(made) {
        assert!(headers.len() <= 256);
        assert!(!headers.names().any(|name| is_made_here(&name.to_header_name())), "{headers:?}");
    }
    if let Some(&[high, low]) = data.first_chunk::<2>()
        && let Ok(status) = response_status(u16::from_be_bytes([high, low]))
    {
        assert!((200..600).contains(&status.as_u16()), "{status} as the status of a response");
    }
}

fn field(part: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = part.iter().skip(1).position(|byte| *byte == b':')? + 1;
    Some((String::from_utf8_lossy(&part[..colon]).into_owned(), part[colon + 1..].to_vec()))
}

/// `current` is what a client's request led to: canonical, or `*`.
fn check_target(target: &str, current: &str) {
    let (current_path, current_query) = current.split_once('?').unwrap_or((current, ""));
    let routed = current_path == "*" || normalize::path(current_path).is_ok_and(|path| path == current_path);
    if !routed || normalize::query(current_query).is_err() {
        return;
    }
    let Some(canonical) = canonical_target(target, current) else { return };
    assert_eq!(canonical_target(&canonical, current).as_ref(), Some(&canonical), "a target is not stable");
    assert!(canonical.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{canonical:?}");
    let path = canonical.split('?').next().unwrap_or(&canonical);
    if path != current_path {
        super::normalize::check_canonical(path);
    }
    assert!(canonical.parse::<Uri>().is_ok(), "{canonical:?} is no target");
}

fn check_field(name: &str, value: &[u8]) {
    for part in [Part::Request, Part::RequestTrailers, Part::Response, Part::ResponseTrailers] {
        let Ok(name) = field_name(name, part) else { continue };
        assert!(!is_made_here(&name), "{name} belongs to the gateway");
        assert!(!name.as_str().contains([':', ' ', '\r', '\n']) && !name.as_str().is_empty());
    }
    if let Ok(value) = field_value(value) {
        let bytes = value.as_bytes();
        assert!(!bytes.iter().any(|byte| b"\r\n\0".contains(byte)), "{value:?} divides a message");
        assert_eq!(bytes.trim_ascii(), bytes, "a value with space around it");
    }
}
