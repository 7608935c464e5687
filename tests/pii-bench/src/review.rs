//! What is replaced in real files with reason: it is what it was taken for, or nothing can tell it from that. Somebody looked
//! at each rule here and at what it lets pass; what none covers is a false positive.

use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Values by category and text, and why they may go.
const VALUES: &[(&str, &str, &str)] = &[
    ("card", "4111111111111111", "the test number of Visa, as documents of validators show it"),
    ("card", "4111 1111 1111 1111", "the same"),
    ("card", "5555555555554444", "the test number of Mastercard"),
    ("card", "378282246310005", "the test number of American Express"),
    ("iban", "GB29NWBK60161331926819", "the example of the SWIFT IBAN registry"),
    ("phone", "+44 1234567", "a phone number in the examples of serde_json"),
    ("phone", "+44 2345678", "the same"),
    ("phone", "+123456789", "a phone number in an OpenAPI document of a payment service"),
    ("phone", "+9874654321", "the same"),
    ("phone", "+0123456789", "the same"),
    ("phone", "0123456789", "the same, behind its sign"),
    ("phone", "512-710-1640", "the same"),
];

/// Ends of file names that look like domains behind an `@`.
const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "mjs", "ts", "css", "scss", "less", "json", "html"];

/// Whether a part of a text was replaced with reason.
pub(crate) fn is_reviewed(text: &str, category: &str, range: &Range<usize>) -> bool {
    let (before, after) = (&text[..range.start], &text[range.end..]);
    let value = text[range.clone()].trim_matches('"');
    let by_rule = match category {
        "email" => is_address(before, value, after),
        "token" => is_jwt(value),
        "credential" => is_key(value) || is_password(before, after),
        _ => false,
    };
    by_rule || VALUES.iter().any(|(of, known, _)| *of == category && *known == value)
}

/// An address, whoever it belongs to, and no user of a host (`ssh://git@host/path`, `git@host:path`) and no file name.
fn is_address(before: &str, value: &str, after: &str) -> bool {
    let end = value.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    let domain = end.len() > 1 && end.chars().all(char::is_alphabetic) && !EXTENSIONS.contains(&end.as_str());
    domain && !before.ends_with("//") && !after.starts_with(':')
}

/// A token whose header says so (RFC 7515 section 4.1.1).
fn is_jwt(value: &str) -> bool {
    let header = value.split_once('.').and_then(|(header, _)| BASE64_URL_SAFE_NO_PAD.decode(header).ok());
    header.is_some_and(|header| header.windows(5).any(|part| part == b"\"alg\""))
}

/// A private key in PEM, or one of the keys that Amazon's documents show, which end so.
fn is_key(value: &str) -> bool {
    value.starts_with("-----BEGIN") || value.starts_with("AKIA") && value.ends_with("EXAMPLE")
}

/// What stands between `scheme://user:` and `@`.
fn is_password(before: &str, after: &str) -> bool {
    let user = before.strip_suffix(':').and_then(|before| before.rsplit_once("//")).map(|(_, user)| user);
    user.is_some_and(|user| !user.contains(['/', ' ', '\n'])) && after.starts_with('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_right_and_repositories_are_not() {
        for (text, reviewed) in
            [("kari@example.no", true), ("git@example.com:o/r", false), ("icon@2x.png", false), ("v@1.2.3", false)]
        {
            let end = text.find(':').unwrap_or(text.len());
            assert_eq!(is_reviewed(text, "email", &(0..end)), reviewed, "{text}");
        }
        assert!(!is_reviewed("ssh://kari@example.no/x", "email", &(6..21)));
    }

    #[test]
    fn tokens_have_a_header_and_passwords_a_user() {
        // RFC 7519 section 3.1.
        assert!(is_reviewed("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.e30.x", "token", &(0..46)));
        assert!(!is_reviewed("eyJ2ZXJzaW9uIjozfQ.e30.x", "token", &(0..24)));
        assert!(is_reviewed("x://a:geheim@b", "credential", &(6..12)));
        assert!(!is_reviewed("a:geheim@b", "credential", &(2..8)));
        assert!(!is_reviewed("98765432", "phone", &(0..8)));
    }
}
