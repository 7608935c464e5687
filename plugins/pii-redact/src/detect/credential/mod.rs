//! Credentials that say what they are: private keys in PEM, keys of clouds and forges by their prefixes, passwords in URLs;
//! and tokens: JWTs, and what follows `Bearer`.
//!
//! These may be longer than anything that a scanner holds back. So a detector finds the beginning, as much as says what it
//! is, and [`Rest`] says of each byte behind it whether it still belongs.
//!
//! Sources: RFC 7468 (PEM), RFC 7519 and 7515 (JWT), RFC 6750 section 2.1 (Bearer); those of keys stand in [`keys`] and
//! [`announced`].

mod announced;
mod keys;
mod url;

use serde::{Deserialize, Serialize};

use super::announce::Said;
use super::{Before, Candidate, NeedMore, Verdict};
pub use keys::ends_prefix;
pub use url::ends_user;
pub use url::is_user;

/// All of `Bearer` but its first letter, which may be in an earlier chunk.
const BEARER: &[u8] = b"earer";
/// How far back a glance looks for the start of a token.
const LONGEST_GLANCE: usize = 64;
const BEGIN: &[u8] = b"-----BEGIN ";
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY";
/// Longest name of a private key's kind: `OPENSSH`, `ENCRYPTED`.
const LONGEST_KIND: usize = 16;
/// What is read of a key or token at once; what follows goes byte by byte.
const LONGEST_READ: usize = 400;
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
    pub fn of(before: &Before<'_>, value: &[u8]) -> Option<Self> {
        if value.starts_with(BEGIN) {
            return Some(Self::Key { length: 0, hyphens: 0, runs: 0 });
        }
        // What is shorter ends where it was found to, and so does a password.
        let token = value.starts_with(b"eyJ");
        (token || value.len() == LONGEST_READ && !url::follows_user(before)).then_some(Self::Token)
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

/// Whether a key or a secret may start with this byte. A password may with any, behind the colon that announces it.
pub fn may_start(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'/')
}

/// Whether a word may be a key that nothing parts from its prefix.
pub fn may_be_key(word: &[u8]) -> bool {
    keys::starts_whole(word)
}

/// Whether the digits at a raw position may be in a token: a glance that spares asking. Before
/// `start` nothing is known, or where not `open` is nothing.
#[inline]
pub fn may_be_token(raw: &[u8], at: usize, start: usize, open: bool) -> bool {
    let from = at.saturating_sub(LONGEST_GLANCE).max(start);
    let run = raw[from..at].iter().rev().take_while(|byte| is_token(**byte)).count();
    let word = at - run;
    let inside = &raw[word..];
    // In a form, a plus sign is the space behind `Bearer`.
    let parts = (0..=run).filter(|index| *index == 0 || !super::is_word(raw[word + index - 1]));
    if parts
        .into_iter()
        .any(|index| inside[index..].starts_with(b"eyJ") || follows_bearer_raw(&raw[start..word + index]))
    {
        return true;
    }
    // What has no width may part it from the space.
    let unseen = word > start && raw[word - 1] >= 0x80;
    unseen || word == from && from > start || open && word - start < BEARER.len()
}

/// Whether raw text ends with `Bearer` and what parts it from a token.
fn follows_bearer_raw(text: &[u8]) -> bool {
    let Some((b' ' | b'+', text)) = text.split_last() else { return false };
    text.len() >= BEARER.len() && text[text.len() - BEARER.len()..].eq_ignore_ascii_case(BEARER)
}

/// Whether a raw position is inside what may be a secret that words announce: a glance that spares asking.
pub fn may_be_announced(raw: &[u8], at: usize) -> bool {
    announced::may_be(raw, at)
}

/// The length of the beginning of a credential: a private key's first line, a key up to a length that leaves no doubt, or a
/// whole password. `said` is asked only where the form of a value isn't enough.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if let Some(length) = url::find(candidate)? {
        return Ok(Some(length));
    }
    if candidate.before.is_letter() {
        return Ok(None);
    }
    // Most words are too short for the others.
    if candidate.at(0)? != Some(b'-') && is_short(candidate) && !announced::follows_basic(candidate) {
        return Ok(None);
    }
    let found = match candidate.at(0)? {
        Some(b'-') => return private_key(candidate),
        Some(b'0'..=b'9') => keys::telegram(candidate)?,
        _ => None,
    };
    match found.or(keys::find(candidate, LONGEST_READ)?).or(keys::entra(candidate)?) {
        None => announced::find(candidate, said),
        found => Ok(found),
    }
}

/// Whether what starts here has fewer than twenty bytes of a key, as far as a glance tells.
fn is_short(candidate: &Candidate<'_>) -> bool {
    let ends = |byte: u8| !(byte.is_ascii_alphanumeric() || b"-_.~+/=:$".contains(&byte));
    [7, 11, 15, 19].into_iter().any(|index| candidate.text.get(index).is_some_and(|byte| ends(*byte)))
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

/// How headers begin whose end isn't seen: with `alg`, `typ`, `kid`, `enc`, `cty` or a certificate. Other JSON in base64 is a
/// source map more often.
const HEADERS: [&[u8]; 6] = [b"eyJhbGci", b"eyJ0eXAi", b"eyJraWQi", b"eyJlbmMi", b"eyJjdHki", b"eyJ4NW"];

/// The header, being JSON, starts with `{"` in base64url, and a dot follows it.
fn jwt(candidate: &Candidate<'_>) -> Verdict {
    if !starts_with(candidate, 0, b"eyJ")? {
        return Ok(None);
    }
    let mut end = 3;
    while candidate.at(end)?.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        end += 1;
        if end == LONGEST_HEADER {
            return Ok(HEADERS.iter().any(|header| candidate.text.starts_with(header)).then_some(end));
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
    if !follows_bearer(&candidate.before) {
        return Ok(None);
    }
    let (mut end, mut padded) = (0, false);
    while let Some(byte) = candidate.at(end)?.filter(|byte| end < LONGEST_READ && is_token(*byte)) {
        // Nothing but more of it follows the padding (RFC 6750 section 2.1, `b64token`).
        if padded && byte != b'=' {
            break;
        }
        padded |= byte == b'=';
        end += 1;
    }
    let sentence = usize::from(end < LONGEST_READ && candidate.text[..end].ends_with(b"."));
    let token = &candidate.text[..end - sentence];
    // A long word is rather a name than a token.
    Ok((token.len() >= SHORTEST_BEARER && has_digit(token)).then_some(token.len()))
}

/// Whether `Bearer` and a space stand before.
fn follows_bearer(before: &Before<'_>) -> bool {
    let word = b"bearer";
    matches!(before.at(0), b' ' | b'+')
        && (0..word.len()).all(|index| before.at(word.len() - index).eq_ignore_ascii_case(&word[index]))
}

/// A token hardly ever has none, and words do.
fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Where nothing is announced.
    fn find(candidate: &Candidate<'_>) -> Verdict {
        super::find(candidate, Said::default)
    }

    #[test]
    fn keys_by_prefix() {
        for (prefix, alphabet, shortest) in keys::KEYS {
            let unit: &[u8] = if format!("{alphabet:?}") == "Hex" { b"a1b2c3d4e5f60798" } else { b"A1B2C3D4E5F60798" };
            let key = [*prefix, &unit.repeat(8)[..*shortest]].concat();
            assert_eq!(find(&Candidate::whole(&key)), Ok(Some(key.len())), "{}", key.escape_ascii());
            assert_eq!(find(&Candidate::whole(&key[..key.len() - 1])), Ok(None), "{}", key.escape_ascii());
            assert_eq!(find(&Candidate::behind(b"x", &key)), Ok(None), "{}", key.escape_ascii());
            let stopped = [&key[..], b". x"].concat();
            assert_eq!(find(&Candidate::whole(&stopped)), Ok(Some(key.len())), "{}", key.escape_ascii());
        }
        assert_eq!(find(&Candidate::whole(b"AKIAIOSFODNN7EXAMPLE")), Ok(Some(20)));
        // Without any digit, and longer than what is read at once.
        assert_eq!(find(&Candidate::whole(b"ghp_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIj")), Ok(Some(40)));
        let long = [&b"sk-ant-"[..], &b"aB3dE5fG7".repeat(300)].concat();
        let Ok(Some(length)) = find(&Candidate::whole(&long)) else { panic!("a long key") };
        let mut rest = Rest::of(&Before::NOTHING, &long[..length]).unwrap();
        assert!(long[length..].iter().all(|byte| rest.takes(*byte)));
        for text in [
            "AKIAIOSFODNN7EXAMPLEX",
            "AKIAIOSFODNN7EXAMPL",
            "ghp_short",
            "sk_live_",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "hf_transformers_model_with_a_very_long_name_that_goes_on",
            "sk-estimator-doc-link-that-goes-on-and-on-and-on",
        ] {
            assert_eq!(find(&Candidate::whole(text.as_bytes())), Ok(None), "{text}");
        }
    }

    #[test]
    fn keys_of_other_forms() {
        for text in ["123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1", "a1b8Q~aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456"] {
            assert_eq!(find(&Candidate::whole(text.as_bytes())), Ok(Some(text.len())), "{text}");
            assert_eq!(find(&Candidate::whole(&text.as_bytes()[..30])), Ok(None), "{text}");
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
    fn tokens() {
        let length = |before: &str, text: &str| token(&Candidate::behind(before.as_bytes(), text.as_bytes())).unwrap();
        assert_eq!(length("", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJrYXJpIn0."), Some(20));
        assert_eq!(length("", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY"), Some(40));
        assert_eq!(length("", &format!("eyJhbGciOiJ{}", "a1B2".repeat(200))), Some(LONGEST_HEADER));
        assert_eq!(length("Bearer ", "mF_9.B5f-4.1JqM=="), Some(17));
        assert_eq!(length("Bearer ", "abcdefghijklmnopqrst1. Hei"), Some(21));
        for (before, text) in [
            ("", "eyJhbGciOiJub25lIn0"),
            ("", &format!("eyJ2ZXJzaW9uIjoz{}", "a1B2".repeat(200))),
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
