//! `calls.send`: what may be sent to an upstream that was granted.

use crate::class::is_made_here;
use crate::fields::{is_token, is_value};

/// Largest body of a request or a response of a call.
pub const MAX_BODY: usize = 1 << 20;
/// Calls of one `send-all`.
pub const MAX_AT_ONCE: usize = 16;
/// Fields of a request.
const MAX_FIELDS: usize = 100;

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a request that a plugin may make.
    Denied,
    /// A body above [`MAX_BODY`], or more than 100 fields.
    TooLarge,
}

/// The request of a call, apart from its fields. `path`: with the query; `fields` and `body`: how many, and how many bytes.
///
/// # Errors
/// Why it is not made.
pub fn check_request(method: &str, path: &str, fields: usize, body: usize) -> Result<(), Refusal> {
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if matches!(method, "CONNECT" | "TRACE") || !is_token(method) || !path.starts_with('/') || !visible {
        return Err(Refusal::Denied);
    }
    if body > MAX_BODY || fields > MAX_FIELDS { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// Whether a request may have this field. The name is in lower case.
pub fn may_have(name: &str, value: &[u8]) -> bool {
    is_token(name) && is_value(value) && !is_made_here(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_requests_are_made() {
        assert_eq!(check_request("GET", "/a?b=%zz", 100, MAX_BODY), Ok(()));
        for (method, path) in [("TRACE", "/"), ("A B", "/"), ("", "/"), ("GET", "a"), ("GET", "/a b"), ("GET", "/#")] {
            assert_eq!(check_request(method, path, 0, 0), Err(Refusal::Denied), "{method} {path}");
        }
        assert_eq!(check_request("GET", "/", 101, 0), Err(Refusal::TooLarge));
        assert_eq!(check_request("POST", "/", 0, MAX_BODY + 1), Err(Refusal::TooLarge));
        assert!(may_have("accept", b"a") && !may_have("a b", b"") && !may_have("a", b"\r") && !may_have("host", b"h"));
    }
}
