//! Passwords in URLs: `scheme://user:password@host` (RFC 3986 section 3.2.1), also where the password has a raw `@` in it.

use super::{Before, Candidate, Verdict};

/// A longer text before the `@` is no user and password.
const LONGEST: usize = 400;

/// Whether `scheme://user` stands before, so that a colon would announce a password.
pub fn ends_user(before: &Before<'_>) -> bool {
    let slash = (0..Before::REACH).find(|index| !is_user(before.at(*index))).unwrap_or(Before::REACH);
    [0, 1, 2].map(|index| before.at(slash + index)) == *b"//:"
}

/// Whether `scheme://user:` stands before.
pub(super) fn follows_user(before: &Before<'_>) -> bool {
    if before.at(0) != b':' {
        return false;
    }
    let slash = (1..Before::REACH).find(|index| !is_user(before.at(*index))).unwrap_or(Before::REACH);
    [0, 1, 2].map(|index| before.at(slash + index)) == *b"//:"
}

/// Whether `scheme://` stands before.
fn follows_scheme(before: &Before<'_>) -> bool {
    [0, 1, 2].map(|index| before.at(index)) == *b"//:" && before.at(3).is_ascii_alphanumeric()
}

/// The length of a password that starts here; or of a user with it, where the user is too long for being known at the
/// password, or an address of its own.
pub(super) fn find(candidate: &Candidate<'_>) -> Verdict {
    if follows_user(&candidate.before) {
        return authority(candidate, 0);
    }
    if !follows_scheme(&candidate.before) {
        return Ok(None);
    }
    let mut colon = 0;
    while candidate.at(colon)?.is_some_and(|byte| is_user(byte) && byte != b':' || byte == b'@') {
        colon += 1;
        if colon > LONGEST {
            return Ok(None);
        }
    }
    let user = &candidate.text[..colon];
    // What `follows_user` sees at the password: the colon and the slashes too.
    let unseen = user.contains(&b'@') || colon + 4 > Before::REACH;
    if candidate.at(colon)? != Some(b':') || !unseen {
        return Ok(None);
    }
    authority(candidate, colon + 1)
}

/// The end of a password that starts at an index: before the last `@` of the authority, with a host behind it.
fn authority(candidate: &Candidate<'_>, start: usize) -> Verdict {
    let (mut end, mut found) = (start, None);
    while let Some(byte) = candidate.at(end)?.filter(|byte| is_user(*byte) || *byte == b'@') {
        // Behind what may be a host, another value follows these.
        if found.is_some() && b",;&|?#()[]{}".contains(&byte) {
            break;
        }
        let host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'[' | b'_' | 0x80..);
        if byte == b'@' && end > start && candidate.at(end + 1)?.is_some_and(host) {
            found = Some(end);
        }
        end += 1;
        if end > LONGEST {
            return Ok(None);
        }
    }
    Ok(found.filter(|found| !is_reference(&candidate.text[start..*found])))
}

/// Whether a variable stands where the password would: `${DB_PASSWORD}`, `$PASSWORD`, `{{ password }}`, `***`.
fn is_reference(password: &[u8]) -> bool {
    let inside = |start: &[u8], end: &[u8]| password.starts_with(start) && password.ends_with(end);
    let name =
        |name: &[u8]| name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    inside(b"${", b"}")
        || inside(b"{", b"}")
        || inside(b"%{", b"}")
        || inside(b"[", b"]")
        || password.strip_prefix(b"$").is_some_and(name)
        || password.iter().all(|byte| *byte == b'*')
        || password.iter().all(|byte| *byte == b'.')
}

/// Bytes of a user or password, of which a raw `@` is none unless another follows.
pub fn is_user(byte: u8) -> bool {
    byte > b' ' && !matches!(byte, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(before: &str, text: &str) -> Option<usize> {
        find(&Candidate::behind(before.as_bytes(), text.as_bytes())).unwrap()
    }

    #[test]
    fn passwords() {
        for (before, password, behind) in [
            ("postgres://app:", "s3cret", "@db.example.no/x"),
            ("redis://:", "s3cret", "@[::1]:6379"),
            ("postgres://app:", "p@ss@word", "@db.example.no/x"),
            ("amqp://app:", "a:b", "@mq_1:5672, next"),
            ("redis://:", "a,b", "@cache:6379,git@example.no"),
            ("redis://:", "a;b", "@cache:6379&x=kari@example.no"),
            ("https://x:", "æøå", "@blåbær.no"),
            ("smtp://", "kari@example.no:s3cret", "@mail.example.no"),
            ("smtp://", "a-user-name-that-is-longer-than-28-bytes:s3cret", "@mail.example.no"),
        ] {
            assert_eq!(
                length(before, &format!("{password}{behind}")),
                Some(password.len()),
                "{before}{password}{behind}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (before, text) in [
            ("https://example.no:", "8080/a@b.no"),
            ("mailto:", "kari@example.no"),
            ("http://a/b:", "c@d.no"),
            ("x://app:", "secret"),
            ("x://app:", "@host"),
            ("x://app:", "a b@host"),
            ("https://", "kari@example.no/x"),
            ("https://", "user:s3cret@example.no"),
            ("x://app:", "${PASSWORD}@host"),
            ("x://app:", "$DB_PASS@host"),
            ("x://app:", "***@host"),
            ("x://app:", "<password>@host"),
        ] {
            assert_eq!(length(before, text), None, "{before}{text}");
        }
    }
}
