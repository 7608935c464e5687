//! Header values of the form `value; name=value; name="value"` (RFC 9110 section 5.6.6, RFC 2045 section 5.1), read as tolerantly
//! as those who act on them do.

use std::ops::Range;

/// One `name=value`, by where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: Range<usize>,
    /// Its value, without the quotes.
    pub(crate) value: Range<usize>,
    /// Whether it stood in quotes, and so may hold backslashes.
    pub(crate) quoted: bool,
}

/// Where the first `stop` outside of quotes is, or the end.
pub(crate) fn until(text: &[u8], from: usize, stop: u8) -> usize {
    let (mut quoted, mut at) = (false, from);
    while at < text.len() {
        match text[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            byte if byte == stop && !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The parameters behind the first `;`.
pub(crate) fn parameters(text: &[u8]) -> Vec<Parameter> {
    let mut found = Vec::new();
    let mut at = until(text, 0, b';');
    while at < text.len() {
        let end = until(text, at + 1, b';');
        let part = trimmed(text, at + 1..end);
        if let Some(equals) = text[part.clone()].iter().position(|byte| *byte == b'=') {
            let name = trimmed(text, part.start..part.start + equals);
            let value = trimmed(text, part.start + equals + 1..part.end);
            let quoted = text[value.clone()].first() == Some(&b'"');
            let value = if quoted { inside(text, value) } else { value };
            found.push(Parameter { name, value, quoted });
        }
        at = end;
    }
    found
}

/// The value of a parameter by its name in lower case, with its backslashes resolved.
pub(crate) fn value(text: &[u8], name: &str) -> Option<Vec<u8>> {
    let parameters = parameters(text);
    let found = parameters.iter().find(|found| text[found.name.clone()].eq_ignore_ascii_case(name.as_bytes()))?;
    let value = &text[found.value.clone()];
    Some(if found.quoted { unquoted(value) } else { value.to_vec() })
}

/// A quoted string's content without its backslashes. Browsers write file names with raw backslashes, and double none, so only
/// one before a quote or another backslash is an escape.
pub(crate) fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'\\' && matches!(text.get(at + 1), Some(b'"' | b'\\')) {
            at += 1;
        }
        out.push(text[at]);
        at += 1;
    }
    out
}

/// What is between the quotes that a value begins with.
fn inside(text: &[u8], value: Range<usize>) -> Range<usize> {
    let start = value.start + 1;
    let mut at = start;
    while at < value.end {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return start..at,
            _ => at += 1,
        }
    }
    start..value.end
}

fn trimmed(text: &[u8], range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let before = part.len() - part.trim_ascii_start().len();
    let start = range.start + before;
    start..start + part.trim_ascii().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, name: &str) -> Option<String> {
        value(text.as_bytes(), name).map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn values() {
        let text = r#"form-data ; Name = "a\"b; c=d" ;filename=C:\x.txt;; z; empty="" ; cut="open"#;
        for (name, expected) in [
            ("name", Some("a\"b; c=d")),
            ("filename", Some("C:\\x.txt")),
            ("c", None),
            ("z", None),
            ("empty", Some("")),
            ("cut", Some("open")),
        ] {
            assert_eq!(of(text, name).as_deref(), expected, "{name}");
        }
        assert_eq!(of("multipart/mixed; boundary=a=b", "boundary").as_deref(), Some("a=b"));
        assert_eq!(of("x", "y"), None);
    }
}
