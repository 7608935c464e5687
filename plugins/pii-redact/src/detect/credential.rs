//! Credentials that say what they are: private keys in PEM, keys of clouds and forges by their prefixes, passwords in URLs;
//! and tokens: JWTs, and what follows `Bearer`.
//!
//! These may be longer than anything that a scanner holds back. So a detector finds the beginning, as much as says what it
//! is, and [`Rest`] says of each byte behind it whether it still belongs.
//!
//! Sources: RFC 7468 (PEM), RFC 7519 and 7515 (JWT), RFC 6750 section 2.1 (Bearer), RFC 3986 section 3.2.1 (user
//! information); the prefixes are those that the services document for secret scanning.

use serde::{Deserialize, Serialize};

use super::{Before, Candidate, NeedMore, Verdict};

/// Prefixes, and how many bytes of a token follow at least.
const PREFIXES: [(&[u8], usize); 33] = [
    (b"ghp_", 36),
    (b"gho_", 36),
    (b"ghu_", 36),
    (b"ghs_", 36),
    (b"ghr_", 36),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"gldt-", 20),
    (b"glrt-", 20),
    (b"glptt-", 20),
    (b"glcbt-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"xoxa-", 20),
    (b"xoxr-", 20),
    (b"xoxs-", 20),
    (b"xapp-", 20),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"sk_test_", 16),
    (b"whsec_", 24),
    (b"AIza", 35),
    (b"ya29.", 20),
    (b"GOCSPX-", 28),
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"npm_", 36),
    (b"pypi-", 60),
    (b"dckr_pat_", 20),
    (b"dop_v1_", 64),
    (b"hvs.", 24),
    (b"shpat_", 32),
    (b"hf_", 34),
];
/// The beginnings of [`PREFIXES`] up to their first `_`, `-` or `.`.
const HEADS: [&[u8]; 29] = [
    b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_", b"glpat-", b"gldt-", b"glrt-", b"glptt-", b"glcbt-",
    b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xoxs-", b"xapp-", b"sk_", b"rk_", b"whsec_", b"ya29.", b"GOCSPX-", b"sk-",
    b"npm_", b"pypi-", b"dckr_", b"dop_", b"hvs.", b"shpat_",
];
const LONGEST_HEAD: usize = 7;
/// Identifiers of AWS access keys: four letters, and sixteen more of base 32.
const AWS: [&[u8; 4]; 2] = [b"AKIA", b"ASIA"];
const AWS_LENGTH: usize = 20;
const BEGIN: &[u8] = b"-----BEGIN ";
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";
/// Longest name of a private key's kind: `OPENSSH`, `ENCRYPTED`.
const LONGEST_KIND: usize = 16;
const LONGEST_PASSWORD: usize = 256;
/// The header of a JWT is read so far for the dot behind it.
const LONGEST_HEADER: usize = 480;
/// A shorter word behind `Bearer` is prose.
const SHORTEST_BEARER: usize = 16;
/// Nobody's private key is longer.
const LONGEST_KEY: u32 = 32 * 1024;

/// What still belongs to a credential whose beginning is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// A token: letters and digits, and what base64 has besides.
    Token,
    /// A private key, up to the line that ends it.
    Key {
        /// Bytes that are gone.
        length: u32,
        /// Hyphens in a row.
        hyphens: u8,
        /// Runs of five hyphens that were passed: the second one ends the key.
        runs: u8,
    },
}

impl Rest {
    /// What follows a value that was found behind `before`, if anything may.
    pub fn of(before: &Before, value: &[u8]) -> Option<Self> {
        if value.starts_with(BEGIN) {
            return Some(Self::Key { length: 0, hyphens: 0, runs: 0 });
        }
        // A password ends where it was found to.
        (!follows_user(before)).then_some(Self::Token)
    }

    /// Whether the byte belongs to it.
    pub fn takes(&mut self, byte: u8) -> bool {
        match self {
            Self::Token => is_token(byte),
            Self::Key { length, hyphens, runs } => {
                if *runs == 2 && byte != b'-' {
                    return false;
                }
                *hyphens = if byte == b'-' { hyphens.saturating_add(1) } else { 0 };
                *runs += u8::from(*hyphens == 5);
                *length += 1;
                // Line breaks are also written as `\n` twice escaped, and as character references.
                let inside = is_token(byte) || byte.is_ascii_whitespace() || b":,\\&#;".contains(&byte);
                inside && *length < LONGEST_KEY
            }
        }
    }

    /// Whether it goes on behind a line break.
    pub fn crosses_lines(self) -> bool {
        matches!(self, Self::Key { .. })
    }
}

/// Whether a key may start with this byte. A password may with any, behind the colon that announces it.
pub fn may_start(byte: u8) -> bool {
    byte == b'-' || AWS.iter().any(|prefix| prefix[0] == byte) || PREFIXES.iter().any(|(prefix, _)| prefix[0] == byte)
}

/// Whether a key's prefix may end with `raw`, whose last byte is a mark: `_`, `-` or `.`. `cut`: more may stand before it.
#[inline]
pub fn ends_prefix(raw: &[u8], cut: bool) -> bool {
    let word = raw[..raw.len() - 1].iter().rev().take(LONGEST_HEAD).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    if word == raw.len() - 1 && cut {
        return word < LONGEST_HEAD;
    }
    (2..LONGEST_HEAD).contains(&word) && is_head(&raw[raw.len() - 1 - word..])
}

fn is_head(word: &[u8]) -> bool {
    HEADS.contains(&word) || word == b"hf_"
}

/// Whether a word may be a key that nothing parts from its prefix.
pub fn may_be_key(word: &[u8]) -> bool {
    let whole = |prefix: &[u8]| prefix.iter().all(u8::is_ascii_alphanumeric);
    AWS.iter().any(|prefix| word.starts_with(*prefix))
        || PREFIXES.iter().any(|(prefix, _)| whole(prefix) && word.starts_with(prefix))
}

/// Whether `scheme://user` stands before, so that a colon would announce a password.
pub fn ends_user(before: &Before) -> bool {
    let slash = (0..Before::REACH).find(|index| !is_user(before.at(*index))).unwrap_or(Before::REACH);
    [0, 1, 2].map(|index| before.at(slash + index)) == *b"//:"
}

/// The length of the beginning of a credential: a private key's first line, or a service's key up to its shortest length; or
/// of a whole password.
pub fn find(candidate: &Candidate<'_>) -> Verdict {
    if let Some(length) = password(candidate)? {
        return Ok(Some(length));
    }
    if candidate.before.is_letter() {
        return Ok(None);
    }
    match candidate.at(0)? {
        Some(b'-') => private_key(candidate),
        Some(b'A') => match aws(candidate)? {
            None => prefixed(candidate),
            found => Ok(found),
        },
        _ => prefixed(candidate),
    }
}

fn private_key(candidate: &Candidate<'_>) -> Verdict {
    if !starts_with(candidate, 0, BEGIN)? {
        return Ok(None);
    }
    for start in BEGIN.len()..=BEGIN.len() + LONGEST_KIND {
        if starts_with(candidate, start, PRIVATE_KEY)? {
            let mut end = start + PRIVATE_KEY.len();
            // PGP's are called blocks.
            if starts_with(candidate, end, b" BLOCK")? {
                end += 6;
            }
            return Ok(starts_with(candidate, end, b"-----")?.then_some(end + 5));
        }
        if !candidate.at(start)?.is_some_and(|byte| byte.is_ascii_uppercase() || byte == b' ') {
            break;
        }
    }
    Ok(None)
}

fn prefixed(candidate: &Candidate<'_>) -> Verdict {
    let Some(first) = candidate.at(0)? else { return Ok(None) };
    for (prefix, shortest) in PREFIXES.into_iter().filter(|(prefix, _)| prefix[0] == first) {
        if starts_with(candidate, 0, prefix)? {
            let length = prefix.len() + shortest;
            let fits = are(candidate, prefix.len(), length, is_unparted)?;
            return Ok((fits && has_digit(&candidate.text[..length])).then_some(length));
        }
    }
    Ok(None)
}

fn aws(candidate: &Candidate<'_>) -> Verdict {
    for prefix in AWS {
        if starts_with(candidate, 0, prefix)? {
            let base32 = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7');
            let fits = are(candidate, 4, AWS_LENGTH, base32)? && candidate.number_may_end(AWS_LENGTH)?;
            return Ok((fits && has_digit(&candidate.text[..AWS_LENGTH])).then_some(AWS_LENGTH));
        }
    }
    Ok(None)
}

/// The password in `scheme://user:password@host`, which starts here.
fn password(candidate: &Candidate<'_>) -> Verdict {
    if !follows_user(&candidate.before) {
        return Ok(None);
    }
    let mut end = 0;
    while candidate.at(end)?.is_some_and(is_user) {
        end += 1;
        if end > LONGEST_PASSWORD {
            return Ok(None);
        }
    }
    let host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'[';
    let fits = end > 0 && candidate.at(end)? == Some(b'@') && candidate.at(end + 1)?.is_some_and(host);
    Ok(fits.then_some(end))
}

/// Whether `scheme://user:` stands before.
fn follows_user(before: &Before) -> bool {
    if before.at(0) != b':' {
        return false;
    }
    let slash = (1..Before::REACH).find(|index| !is_user(before.at(*index))).unwrap_or(Before::REACH);
    [0, 1, 2].map(|index| before.at(slash + index)) == *b"//:"
}

pub(crate) fn is_user(byte: u8) -> bool {
    byte > b' ' && !b"/@\"'<>\\".contains(&byte)
}

/// The length of the beginning of a JWT, or of what follows `Bearer`.
pub fn token(candidate: &Candidate<'_>) -> Verdict {
    if candidate.before.is_word() {
        return Ok(None);
    }
    match jwt(candidate)? {
        None => bearer(candidate),
        found => Ok(found),
    }
}

/// The header, being JSON, starts with `{"` in base64url, and a dot follows it.
fn jwt(candidate: &Candidate<'_>) -> Verdict {
    if !starts_with(candidate, 0, b"eyJ")? {
        return Ok(None);
    }
    let mut end = 3;
    while candidate.at(end)?.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        end += 1;
        if end == LONGEST_HEADER {
            return Ok(has_digit(&candidate.text[..end]).then_some(end));
        }
    }
    // The second part of an encrypted one may be empty.
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = end > 10
        && has_digit(&candidate.text[..end])
        && candidate.at(end)? == Some(b'.')
        && candidate.at(end + 1)?.is_some_and(goes_on);
    Ok(fits.then_some(end + 1))
}

fn bearer(candidate: &Candidate<'_>) -> Verdict {
    let word = b"bearer";
    let before = &candidate.before;
    let told = matches!(before.at(0), b' ' | b'+')
        && (0..word.len()).all(|index| before.at(word.len() - index).eq_ignore_ascii_case(&word[index]));
    if !told || !are(candidate, 0, SHORTEST_BEARER, is_token)? {
        return Ok(None);
    }
    // A long word is rather a name than a token.
    let word = candidate.text[..SHORTEST_BEARER].iter().take_while(|byte| is_unparted(**byte)).count();
    Ok(has_digit(&candidate.text[..word]).then_some(SHORTEST_BEARER))
}

/// Words without a digit are skipped unread (see [`crate::rules::class`]), so a credential has one. It hardly ever hasn't.
fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// Bytes of a token that don't part words.
fn is_unparted(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=')
}

fn starts_with(candidate: &Candidate<'_>, index: usize, text: &[u8]) -> Result<bool, NeedMore> {
    for (offset, byte) in text.iter().enumerate() {
        if candidate.at(index + offset)? != Some(*byte) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn are(candidate: &Candidate<'_>, from: usize, to: usize, kind: impl Fn(u8) -> bool) -> Result<bool, NeedMore> {
    for index in from..to {
        if !candidate.at(index)?.is_some_and(&kind) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_prefix() {
        for (prefix, shortest) in PREFIXES {
            let key = [prefix, &b"a1".repeat(shortest)[..shortest]].concat();
            assert_eq!(find(&Candidate::whole(&key)), Ok(Some(key.len())), "{}", key.escape_ascii());
            assert_eq!(find(&Candidate::whole(&key[..key.len() - 1])), Ok(None), "{}", key.escape_ascii());
            assert_eq!(find(&Candidate::behind(b"x", &key)), Ok(None), "{}", key.escape_ascii());
        }
        assert_eq!(find(&Candidate::whole(b"AKIAIOSFODNN7EXAMPLE")), Ok(Some(20)));
        for text in ["AKIAIOSFODNN7EXAMPLEX", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN1EXAMPLE", "ghp_short", "sk_live_"] {
            assert_eq!(find(&Candidate::whole(text.as_bytes())), Ok(None), "{text}");
        }
    }

    #[test]
    fn private_keys_and_no_public_ones() {
        for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
            let line = format!("-----BEGIN {kind}PRIVATE KEY-----");
            assert_eq!(find(&Candidate::whole(line.as_bytes())), Ok(Some(line.len())), "{line}");
        }
        for line in ["-----BEGIN PUBLIC KEY-----", "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY----", "-----"]
        {
            assert_eq!(find(&Candidate::whole(line.as_bytes())), Ok(None), "{line}");
        }
        let mut rest = Rest::of(&Before::NOTHING, b"-----BEGIN PRIVATE KEY-----").unwrap();
        let text = b"\nMII\n-----END PRIVATE KEY-----\nx";
        assert_eq!(text.iter().take_while(|byte| rest.takes(**byte)).count(), text.len() - 2);
    }

    #[test]
    fn passwords_in_urls() {
        let length = |before: &str, text: &str| find(&Candidate::behind(before.as_bytes(), text.as_bytes())).unwrap();
        assert_eq!(length("postgres://app:", "s3cret@db.example.no/x"), Some(6));
        assert_eq!(length("redis://:", "s3cret@[::1]:6379"), Some(6));
        for (before, text) in [
            ("https://example.no:", "8080/a@b.no"),
            ("mailto:", "kari@example.no"),
            ("http://a/b:", "c@d.no"),
            ("x://app:", "secret"),
            ("x://app:", "@host"),
            ("x://app:", "a b@host"),
        ] {
            assert_eq!(length(before, text), None, "{before}{text}");
        }
    }

    #[test]
    fn tokens() {
        let length = |before: &str, text: &str| token(&Candidate::behind(before.as_bytes(), text.as_bytes())).unwrap();
        assert_eq!(length("", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJrYXJpIn0."), Some(20));
        assert_eq!(length("", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY"), Some(40));
        assert_eq!(length("Bearer ", "mF_9.B5f-4.1JqM=="), Some(16));
        for (before, text) in [
            ("", "eyJhbGciOiJub25lIn0"),
            ("", "eyJ.a"),
            ("x", "eyJhbGciOiJub25lIn0.eyJ"),
            ("", "eyJhbGciOiJub25lIn0. "),
            ("bearer ", "of-this-long-letter-x"),
            ("Bearer ", "mF_9.B5f"),
            ("forbearer", "mF_9.B5f-4.1JqM=="),
        ] {
            assert_eq!(length(before, text), None, "{before}|{text}");
        }
    }
}
