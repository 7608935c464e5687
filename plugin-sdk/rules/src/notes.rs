//! What plugins leave in an exchange: state of their own, attributes, fields of the log, and the wish to keep a response.
//! Errors are breaches of bounds, which no good plugin makes: the call ends the plugin.

use crate::fields::{MAX_NAME, MAX_VALUE};
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
/// `store-response`, in bytes.
const MAX_KEY: usize = 1 << 10;

/// `http.set-state` with this many bytes.
///
/// # Errors
/// A breach of bounds; likewise below.
pub const fn check_state(bytes: usize) -> Result<(), &'static str> {
    if bytes > MAX_STATE { Err("set-state: at most 64 KiB") } else { Ok(()) }
}

/// `http.set-attribute`. `count`: how many attributes there are; `is_there`: whether one of them has this name.
///
/// # Errors
/// A breach of bounds.
pub fn check_attribute(
    name: &str,
    value: &str,
    count: usize,
    is_there: impl FnOnce() -> bool,
) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_ATTRIBUTE {
        return Err("set-attribute: a name of 1 to 256 bytes and a value of at most 8 KiB");
    }
    if count >= MAX_ENTRIES && !is_there() { Err("set-attribute: at most 64 attributes") } else { Ok(()) }
}

/// `http.store-response`.
///
/// # Errors
/// A breach of bounds.
pub fn check_store(phase: Phase, key: &str) -> Result<(), &'static str> {
    if phase != Phase::ResponseHeaders {
        return Err("store-response: only in on-response-headers");
    }
    if key.len() > MAX_KEY { Err("store-response: a key of at most 1 KiB") } else { Ok(()) }
}

/// `http.set-log-field`. `others`: how many other fields there are.
///
/// # Errors
/// A breach of bounds.
pub const fn check_log_field(name: &str, others: usize) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("set-log-field: a name of 1 to 256 bytes");
    }
    if others >= MAX_ENTRIES { Err("set-log-field: at most 64 fields") } else { Ok(()) }
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
        for (name, value, count) in [("", "v", 0), ("a", &*"v".repeat(MAX_ATTRIBUTE + 1), 0), ("a", "v", MAX_ENTRIES)] {
            assert!(check_attribute(name, value, count, || false).is_err());
        }
        assert!(check_log_field(&"n".repeat(MAX_NAME), 0).is_ok() && check_log_field("n", MAX_ENTRIES).is_err());
        assert!(check_store(Phase::ResponseHeaders, "k").is_ok() && check_store(Phase::ResponseBody, "k").is_err());
        assert!(check_store(Phase::ResponseHeaders, &"k".repeat(MAX_KEY + 1)).is_err());
    }
}
