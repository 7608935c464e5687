//! How a value is written so that it stays one value, and its line one line, whatever is in it.

/// Where a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// In JSON (RFC 8259).
    Json,
    /// In JSON that is all ASCII.
    JsonAscii,
    /// Between quotes that the line has around it, escaped as NGINX does it (`escape=default` of its `log_format`): a quote,
    /// a backslash, and what is no visible ASCII becomes `\xHH`; what is not there becomes `-`.
    Quoted,
    /// The same outside of quotes, where a space becomes `\x20` as well.
    Bare,
}

const LOWER_HEX: &[u8; 16] = b"0123456789abcdef";
const UPPER_HEX: &[u8; 16] = b"0123456789ABCDEF";

impl Syntax {
    /// What is written for a value that is not there.
    pub(super) const fn absent(self) -> &'static [u8] {
        match self {
            Self::Json | Self::JsonAscii => b"null",
            Self::Quoted | Self::Bare => b"-",
        }
    }

    /// What stands around a text.
    pub(super) const fn quotes(self) -> &'static [u8] {
        match self {
            Self::Json | Self::JsonAscii => b"\"",
            Self::Quoted | Self::Bare => b"",
        }
    }

    /// Appends a text as a whole value.
    pub(super) fn text(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Json | Self::JsonAscii => json_string(text, self, out),
            Self::Quoted | Self::Bare if text.is_empty() => out.push(b'-'),
            Self::Quoted | Self::Bare => self.bytes(text.as_bytes(), out),
        }
    }

    /// Appends bytes as a part of a value. In JSON, what is no UTF-8 becomes U+FFFD.
    pub(super) fn bytes(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Json => json(&String::from_utf8_lossy(bytes), out),
            Self::JsonAscii => json_ascii(&String::from_utf8_lossy(bytes), out),
            Self::Quoted => hexed(bytes, |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'), out),
            Self::Bare => hexed(bytes, |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\'), out),
        }
    }
}

/// Appends a string of JSON with its quotes.
pub(super) fn json_string(text: &str, syntax: Syntax, out: &mut Vec<u8>) {
    out.push(b'"');
    match syntax {
        Syntax::JsonAscii => json_ascii(text, out),
        Syntax::Json | Syntax::Quoted | Syntax::Bare => json(text, out),
    }
    out.push(b'"');
}

/// Appends bytes, with `\xHH` for those that are not harmless.
fn hexed(bytes: &[u8], harmless: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if harmless(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        out.extend_from_slice(&[b'\\', b'x', UPPER_HEX[usize::from(byte >> 4)], UPPER_HEX[usize::from(byte & 15)]]);
    }
    out.extend_from_slice(&bytes[start..]);
}

/// The inside of a JSON string (RFC 8259 section 7).
fn json(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f {
            continue;
        }
        out.extend_from_slice(&bytes[start..index]);
        start = index + 1;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            _ => unit(byte.into(), out),
        }
    }
    out.extend_from_slice(&bytes[start..]);
}

/// The same in ASCII: all else as its units of UTF-16.
fn json_ascii(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| !char.is_ascii()) {
        json(&rest[..at], out);
        let mut after = rest[at..].chars();
        for unit in after.next().into_iter().flat_map(|char| char.encode_utf16(&mut [0; 2]).to_vec()) {
            self::unit(unit, out);
        }
        rest = after.as_str();
    }
    json(rest, out);
}

fn unit(unit: u16, out: &mut Vec<u8>) {
    let digit = |shift: u16| LOWER_HEX[usize::from(unit >> shift & 15)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(syntax: Syntax, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        syntax.bytes(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_nginx_escapes_is_escaped_as_nginx_does_it() {
        assert_eq!(written(Syntax::Quoted, b"a \"b\"\\\n\x7f\xe5"), "a \\x22b\\x22\\x5C\\x0A\\x7F\\xE5");
        assert_eq!(written(Syntax::Bare, b"a b"), "a\\x20b");
    }

    /// What a reader of such a log makes of a value.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut parts = text.split("\\x");
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        bytes
    }

    proptest! {
        #[test]
        fn any_bytes_stay_one_value(bytes in any::<Vec<u8>>()) {
            for syntax in [Syntax::Quoted, Syntax::Bare] {
                let text = written(syntax, &bytes);
                prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"'), "{text}");
                prop_assert!(syntax == Syntax::Quoted || !text.contains(' '));
                prop_assert_eq!(unescaped(&text), &bytes[..]);
            }
        }

        #[test]
        fn any_text_is_read_back_from_json(text in any::<String>()) {
            for syntax in [Syntax::Json, Syntax::JsonAscii] {
                let mut out = Vec::new();
                json_string(&text, syntax, &mut out);
                prop_assert!(!out.iter().any(|byte| byte.is_ascii_control()));
                prop_assert!(syntax == Syntax::Json || out.is_ascii());
                prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), &text[..]);
            }
        }
    }
}
