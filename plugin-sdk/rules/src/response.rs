//! Responses that plugins make, and those that are made in their place.

use crate::fields::{FieldError, MAX_FIELDS, MAX_PART};

/// Whether a plugin may answer with it: the status of a response that goes to the client in full, no interim one.
pub const fn is_status(code: u16) -> bool {
    200 <= code && code < 600
}

/// Whether a response of this status may have content: RFC 9110 sections 15.2 (1xx), 15.3.5 (204), 15.3.6 (205) and 15.4.5
/// (304) forbid it.
pub const fn may_have_content(code: u16) -> bool {
    !matches!(code, 100..=199 | 204 | 205 | 304)
}

/// Whether the fields of a made response are within the bounds of a part. `bytes`: of all names and values.
///
/// # Errors
/// In words for whoever wrote the plugin.
pub const fn check_size(fields: usize, bytes: usize) -> Result<(), &'static str> {
    if fields > MAX_FIELDS || bytes > MAX_PART {
        return Err("answered with more than 256 header fields, or 256 KiB of them");
    }
    Ok(())
}

/// Why the name of a made response's field is refused; `None` where the field is dropped instead, because the gateway makes
/// it itself.
pub fn on_refused_name(name: &str, error: FieldError) -> Option<&'static str> {
    match error {
        FieldError::NotAllowed if !name.starts_with(':') => None,
        _ => Some("answered with an invalid field name"),
    }
}

/// Why a value is refused.
pub const INVALID_VALUE: &str = "answered with an invalid field value";
/// Why a status is refused.
pub const INVALID_STATUS: &str = "answered with a status outside 200 to 599";
