//! Secrets that say what they are only together with what stands before them.
//!
//! Sources: AWS IAM, "Manage access keys" (forty characters); Azure Storage, "Configure connection strings" (512 bits in
//! base64) and "Create a service SAS" (`sig`); Azure Service Bus, "Shared access authorization policies" (256 bits); Twilio,
//! "Auth tokens" (32 hexadecimal digits); RFC 7617 (Basic).

use super::super::announce::{Said, Topic};
use super::keys::is_random;
use super::{Candidate, Verdict};

/// The lengths of announced secrets, the padding of base64 included.
const LENGTHS: [usize; 4] = [32, 40, 44, 88];
/// Credentials of `Basic` are hardly longer.
const LONGEST_BASIC: usize = 400;
/// A signature: 256 bits in base64.
const SIGNATURE: usize = 44;

/// The length of a secret that starts here. `said` is asked only where it has the form of one.
pub(super) fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if is_base64(candidate.before.at(0)) && candidate.before.at(0) != b'=' {
        return Ok(None);
    }
    if follows_basic(candidate) {
        return basic(candidate);
    }
    // Most words are shorter.
    if [8, 16, LENGTHS[0] - 1].into_iter().any(|index| candidate.text.get(index).is_some_and(|byte| !is_base64(*byte)))
    {
        return Ok(None);
    }
    let longest = LENGTHS[LENGTHS.len() - 1];
    let mut end = 0;
    while end <= longest && candidate.at(end)?.is_some_and(is_base64) {
        end += 1;
    }
    if !LENGTHS.contains(&end) || candidate.at(end)?.is_some_and(super::super::is_word) {
        return Ok(None);
    }
    let text = &candidate.text[..end];
    let signature = end == SIGNATURE && (follows(candidate, b"&sig=") || follows(candidate, b"?sig="));
    let counts = has_form(text) && is_random(text) && (signature || said().is(Topic::Secret));
    Ok(counts.then_some(end))
}

/// Whether raw text has an announced secret's form around the position: a glance that spares asking.
pub(super) fn may_be(raw: &[u8], at: usize) -> bool {
    let longest = LENGTHS[LENGTHS.len() - 1];
    let before = raw[..at].iter().rev().take(longest).take_while(|byte| is_base64(**byte) && **byte != b'=').count();
    let behind = raw[at..].iter().take(longest + 1).take_while(|byte| is_base64(**byte)).count();
    let start = at - before;
    let cut = at + behind == raw.len() || start == 0;
    let basic = raw[..start].ends_with(b"asic ") || raw[..start].ends_with(b"ASIC ");
    cut || basic || LENGTHS.contains(&(before + behind))
}

/// Digits and letters of both cases, padded as the length asks; or hexadecimal digits.
fn has_form(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let (inside, all) =
        (&text[..text.len() - padding], [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase]);
    let mixed = all.iter().all(|kind| inside.iter().any(kind)) && !inside.contains(&b'=');
    let hex = || inside.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text.len() {
        32 => padding == 0 && hex(),
        40 => padding == 0 && mixed,
        44 => padding == 1 && mixed,
        _ => padding == 2 && mixed,
    }
}

/// Whether `Basic` and a space stand before.
pub(super) fn follows_basic(candidate: &Candidate<'_>) -> bool {
    follows(candidate, b"basic ")
}

/// `Basic` and base64 of a user, a colon and a password.
fn basic(candidate: &Candidate<'_>) -> Verdict {
    let (mut bits, mut count, mut colon, mut end) = (0_u32, 0, false, 0);
    while let Some(byte) = candidate.at(end)?.filter(|byte| is_base64(*byte)) {
        end += 1;
        if byte == b'=' {
            continue;
        }
        bits = bits << 6 | u32::from(value(byte));
        count += 6;
        if count >= 8 {
            count -= 8;
            let decoded = (bits >> count) as u8;
            if decoded < b' ' {
                return Ok(None);
            }
            colon |= decoded == b':';
        }
        if end > LONGEST_BASIC {
            return Ok(None);
        }
    }
    Ok((colon && end >= 8 && end % 4 == 0).then_some(end))
}

/// The six bits of a character of base64.
fn value(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

/// Whether the position follows the text, which is in lower case.
fn follows(candidate: &Candidate<'_>, text: &[u8]) -> bool {
    text.iter().rev().enumerate().all(|(index, byte)| candidate.before.at(index).eq_ignore_ascii_case(byte))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::announce;

    /// The example of AWS's documentation, and 512 and 256 bits of nothing.
    const AWS: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const STORAGE: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8BI0Vnibw==";
    const SHARED: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";

    fn length(before: &str, text: &str) -> Option<usize> {
        let said = || announce::by_text(before.as_bytes());
        find(&Candidate::behind(before.as_bytes(), text.as_bytes()), said).unwrap()
    }

    #[test]
    fn announced_secrets() {
        let storage = &STORAGE[STORAGE.len() - 88..];
        for (before, text) in [
            ("aws_secret_access_key = ", AWS),
            ("\"SecretAccessKey\": \"", AWS),
            ("AccountName=a;AccountKey=", storage),
            ("SharedAccessKey=", SHARED),
            ("?sv=2022&sig=", SHARED),
            ("TWILIO_AUTH_TOKEN=", "0123456789abcdef0123456789abcdef"),
            ("Authorization: Basic ", "a2FyaTpoZW1tZWxpZw=="),
            ("basic ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ] {
            assert_eq!(length(before, text), Some(text.len()), "{before}{text}");
            assert!(may_be(format!("{before}{text} ").as_bytes(), before.len() + 5));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (before, text) in [
            ("", AWS),
            ("secret_access_key=", "of/this/kind/of/path/there/are/so/many/x"),
            ("sha1 ", "0123456789abcdef0123456789abcdef01234567"),
            ("secretId: ", AWS),
            ("Basic ", "knowledge of arithmetic"),
            ("Basic ", "authorization"),
            ("secret x", AWS),
        ] {
            assert_eq!(length(before, text), None, "{before}{text}");
        }
    }
}
