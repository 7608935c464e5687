//! What plugins leave in an exchange: state of their own, attributes, fields of the log, and the wish to keep a response.

use crate::fields::{FieldError, MAX_NAME, MAX_VALUE};
use crate::phase::Phase;

/// The attribute that names the caller. An empty name is none.
pub const PRINCIPAL: &str = "principal";

/// `set-state`, in bytes.
const MAX_STATE: usize = 64 << 10;
/// Attributes, and log fields.
const MAX_ENTRIES: usize = 64;
/// Bytes of an attribute.
const MAX_ATTRIBUTE: usize = 8 << 10;
/// Bytes of all log fields of an exchange together.
const MAX_LOG: usize = 512 << 10;
/// Bytes of a log field that the record has: enough for people, and a line stays a line.
pub const MAX_RECORDED: usize = 8 << 10;
/// `http.set-state` with this many bytes.
///
/// # Errors
/// A breach of bounds, which ends the call.
pub const fn check_state(bytes: usize) -> Result<(), &'static str> {
    if bytes > MAX_STATE { Err("set-state: at most 64 KiB") } else { Ok(()) }
}

/// What ends a call of `http.set-attribute` that [`check_attribute`] refuses. `put-attribute` answers with the error instead.
pub const BAD_ATTRIBUTE: &str =
    "set-attribute: a name of 1 to 256 bytes and a value of at most 8 KiB, and at most 64 attributes";

/// `http.put-attribute`. `count`: how many attributes there are; `is_there`: whether one of them has this name.
///
/// # Errors
/// `InvalidName` for a name of none or more than 256 bytes, `TooLarge` for a value of more than 8 KiB, and for the 65th.
pub fn check_attribute(
    name: &str,
    value: &str,
    count: usize,
    is_there: impl FnOnce() -> bool,
) -> Result<(), FieldError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(FieldError::InvalidName);
    }
    let fits = value.len() <= MAX_ATTRIBUTE && (count < MAX_ENTRIES || is_there());
    if fits { Ok(()) } else { Err(FieldError::TooLarge) }
}

/// `http.store-response`.
///
/// # Errors
/// A breach of bounds, which ends the call.
pub fn check_store(phase: Phase) -> Result<(), &'static str> {
    if phase == Phase::ResponseHeaders { Ok(()) } else { Err("store-response: only in on-response-headers") }
}

/// Whether the record takes a field by `http.set-log-field`; others are left out. How many there are, a request may decide.
/// `others`: how many other fields there are.
pub const fn takes_log_field(name: &str, others: usize) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && others < MAX_ENTRIES
}

/// How much of a value is kept for the log, in bytes. Cut, not refused: how long a value is, a request decides, and one must
/// not be able to fail the plugin that makes the value harmless. The record has less of it ([`MAX_RECORDED`]): it is cut once
/// more when plugins have seen it, since half of an address is not recognised as one. `others`: bytes of the other fields.
pub fn kept_of_log_value(value: &str, others: usize) -> usize {
    value.floor_char_boundary(MAX_VALUE.min(MAX_LOG.saturating_sub(others)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_fields_are_bounded_each_and_together() {
        let value = format!("a{}", "æ".repeat(MAX_VALUE));
        let (mut lengths, mut sum) = (Vec::new(), 0);
        for _ in 0..MAX_ENTRIES {
            let kept = kept_of_log_value(&value, sum);
            lengths.push(kept);
            sum += kept;
        }
        assert_eq!(lengths[0], MAX_VALUE - 1, "a whole character less");
        assert!(sum <= MAX_LOG);
        let again = kept_of_log_value(&"b".repeat(MAX_VALUE), sum - lengths[0]);
        assert_eq!(again, lengths[0], "a value in place of another one has its room");
    }

    #[test]
    fn bounds_are_bounds() {
        assert!(check_state(MAX_STATE).is_ok() && check_state(MAX_STATE + 1).is_err());
        assert!(check_attribute("a", &"v".repeat(MAX_ATTRIBUTE), MAX_ENTRIES, || true).is_ok());
        for (name, value, count, error) in [
            ("", "v", 0, FieldError::InvalidName),
            ("a", &*"v".repeat(MAX_ATTRIBUTE + 1), 0, FieldError::TooLarge),
            ("a", "v", MAX_ENTRIES, FieldError::TooLarge),
        ] {
            assert_eq!(check_attribute(name, value, count, || false), Err(error));
        }
        assert!(takes_log_field(&"n".repeat(MAX_NAME), 0) && !takes_log_field("n", MAX_ENTRIES));
        assert!(!takes_log_field("", 0) && !takes_log_field(&"n".repeat(MAX_NAME + 1), 0));
        assert!(check_store(Phase::ResponseHeaders).is_ok() && check_store(Phase::ResponseBody).is_err());
    }
}
