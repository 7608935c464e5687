//! The fields of a message as plugins see and change them: what is a name and a value, what belongs to the gateway, how
//! many there may be, and until when they can be changed.

use crate::class::{self, Direction};

/// Fields of one part.
pub const MAX_FIELDS: usize = 256;
/// Bytes of one value.
pub const MAX_VALUE: usize = 64 << 10;
/// Bytes of one part, looked at when a long value comes.
pub const MAX_PART: usize = 256 << 10;
/// Bytes of a name: of a field, an attribute, a field of the log.
pub const MAX_NAME: usize = 256;
/// Values up to this length come in without a look at the bytes of the whole part.
const SHORT: usize = 1 << 10;

/// Fields as whoever keeps them has them: by name, without regard to case, each with its values in order.
pub trait Fields {
    /// The values of the fields of this name, which is in lower case.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
    /// The names in lower case. One may come more than once.
    fn names(&self) -> impl Iterator<Item = &str>;
}

/// Names are in lower case.
impl Fields for Vec<(String, Vec<u8>)> {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name.as_str())
    }
}

/// The part of an exchange that fields belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request's head.
    Request,
    /// What comes after its body.
    RequestTrailers,
    /// The response's head.
    Response,
    /// What comes after its body.
    ResponseTrailers,
}

impl Part {
    /// Whose trailers it is, if it is trailers.
    const fn trailers_of(self) -> Option<Direction> {
        match self {
            Self::RequestTrailers => Some(Direction::Request),
            Self::ResponseTrailers => Some(Direction::Response),
            Self::Request | Self::Response => None,
        }
    }
}

/// Why a plugin can't have what it wants: a mistake that a good plugin can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// Not the name of a field.
    InvalidName,
    /// Not a value.
    InvalidValue,
    /// The gateway's own, or not in this part or phase.
    NotAllowed,
    /// Over a bound.
    TooLarge,
    /// The head is on its way already.
    TooLate,
}

/// Whether it is a token (RFC 9110 section 5.6.2): the name of a field, a method.
pub fn is_token(text: &str) -> bool {
    let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}

/// Whether it is the value of a field (RFC 9110 section 5.5), apart from space at its ends: no CR, LF or NUL, nor another
/// control character than the tab.
pub fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| (byte >= b' ' || byte == b'\t') && byte != 0x7f)
}

/// A value as text, where it is visible ASCII with spaces and tabs.
pub fn text(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(|&byte| matches!(byte, b' '..=b'~' | b'\t'));
    if visible { std::str::from_utf8(value).ok() } else { None }
}

/// Why a text is no name of a field, if it is none.
///
/// # Errors
/// A pseudo-header field is not allowed: a plugin changes those by calls of their own.
pub fn check_name(name: &str) -> Result<(), FieldError> {
    match name {
        _ if name.starts_with(':') => Err(FieldError::NotAllowed),
        _ if is_token(name) => Ok(()),
        _ if name.len() > MAX_NAME => Err(FieldError::TooLarge),
        _ => Err(FieldError::InvalidName),
    }
}

/// Refuses names (in lower case) that are too long, fields that the gateway makes itself, and in trailers what no trailer
/// may bring.
///
/// # Errors
/// Too large, or not allowed.
pub fn check_allowed(name: &str, part: Part) -> Result<(), FieldError> {
    if name.len() > MAX_NAME {
        return Err(FieldError::TooLarge);
    }
    let misplaced = part.trailers_of().is_some_and(|of| class::is_forbidden_in_trailers(name, of));
    if class::is_made_here(name) || misplaced { Err(FieldError::NotAllowed) } else { Ok(()) }
}

/// The value of a field as it is set: without space at its ends (RFC 9110 section 5.5). Its characters are not looked at.
///
/// # Errors
/// Too large.
pub const fn trim_value(value: &[u8]) -> Result<&[u8], FieldError> {
    if value.len() > MAX_VALUE { Err(FieldError::TooLarge) } else { Ok(value.trim_ascii()) }
}

/// Whether a part of `count` fields has room for a value of `more` bytes. `replaces`: it takes the place of those of its
/// name; `bytes`: of all names and values, asked for only where the value is long.
///
/// # Errors
/// Too large.
pub fn check_room(
    count: usize,
    more: usize,
    replaces: impl FnOnce() -> bool,
    bytes: impl FnOnce() -> usize,
) -> Result<(), FieldError> {
    if (count >= MAX_FIELDS && !replaces()) || (more > SHORT && bytes() + more > MAX_PART) {
        return Err(FieldError::TooLarge);
    }
    Ok(())
}

/// Whether a field stays as it was where a value can't be set. One of the request does not: what the client sent would stand
/// for what the plugin makes of it, such as the user's name.
pub const fn stays_when_not_set(part: Part) -> bool {
    matches!(part, Part::Response | Part::ResponseTrailers)
}

/// How far the heads of an exchange have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The request's head is on its way to the upstream.
    pub request_sent: bool,
    /// There is a response.
    pub has_response: bool,
    /// Its head is on its way to the client.
    pub response_sent: bool,
}

/// Whether a part can still be changed. Trailers can until their body has ended.
///
/// # Errors
/// Too late where the head is on its way, not allowed where there is no response yet.
pub const fn check_writable(part: Part, progress: Progress) -> Result<(), FieldError> {
    match part {
        Part::Request if progress.request_sent => Err(FieldError::TooLate),
        Part::Response | Part::ResponseTrailers if !progress.has_response => Err(FieldError::NotAllowed),
        Part::Response if progress.response_sent => Err(FieldError::TooLate),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_that_would_divide_a_message_are_refused() {
        for value in [&b"a\r\nset-cookie: x"[..], b"a\nb", b"a\0b", b"\x7f"] {
            assert!(!is_value(value), "{value:?}");
        }
        assert!(is_value(b"a\tb \xc3\xa6") && is_value(b""));
        assert_eq!(trim_value(b" padded\t").unwrap(), b"padded");
        assert_eq!(trim_value(&[b'a'; MAX_VALUE + 1]), Err(FieldError::TooLarge));
        for name in ["a b", "a\r\n", "", "æ", "a:"] {
            assert_eq!(check_name(name), Err(FieldError::InvalidName), "{name:?}");
        }
        assert_eq!(check_name(":path"), Err(FieldError::NotAllowed));
        assert_eq!(check_name(&"x y".repeat(MAX_NAME)), Err(FieldError::TooLarge));
        assert_eq!(check_name(&"x".repeat(MAX_NAME + 1)), Ok(()), "one that a client sent can be read");
    }

    #[test]
    fn what_the_gateway_makes_is_nobody_elses() {
        for name in ["host", "content-length", "transfer-encoding", "connection", "upgrade", "cdn-loop"] {
            assert_eq!(check_allowed(name, Part::Request), Err(FieldError::NotAllowed), "{name}");
            assert_eq!(check_allowed(name, Part::ResponseTrailers), Err(FieldError::NotAllowed), "{name}");
        }
        assert_eq!(check_allowed("authorization", Part::Request), Ok(()));
        assert_eq!(check_allowed("authorization", Part::RequestTrailers), Err(FieldError::NotAllowed));
        assert_eq!(check_allowed(&"x".repeat(MAX_NAME + 1), Part::Response), Err(FieldError::TooLarge));
    }

    #[test]
    fn a_part_has_bounds() {
        assert_eq!(check_room(MAX_FIELDS - 1, 1, || false, || 0), Ok(()));
        assert_eq!(check_room(MAX_FIELDS, 1, || false, || 0), Err(FieldError::TooLarge));
        assert_eq!(check_room(MAX_FIELDS, 1, || true, || 0), Ok(()), "in place of another one");
        assert_eq!(check_room(1, MAX_VALUE, || false, || MAX_PART), Err(FieldError::TooLarge));
    }

    #[test]
    fn a_head_that_is_on_its_way_can_not_be_changed() {
        let at = |request_sent, has_response, response_sent| Progress { request_sent, has_response, response_sent };
        assert_eq!(check_writable(Part::Request, at(false, false, false)), Ok(()));
        assert_eq!(check_writable(Part::Request, at(true, false, false)), Err(FieldError::TooLate));
        assert_eq!(check_writable(Part::RequestTrailers, at(true, false, false)), Ok(()));
        for part in [Part::Response, Part::ResponseTrailers] {
            assert_eq!(check_writable(part, at(true, false, false)), Err(FieldError::NotAllowed));
        }
        assert_eq!(check_writable(Part::Response, at(true, true, true)), Err(FieldError::TooLate));
        assert_eq!(check_writable(Part::ResponseTrailers, at(true, true, true)), Ok(()));
    }
}
