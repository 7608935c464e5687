//! Text outside ASCII in header fields: encoded words (RFC 2047) and extended parameter values (RFC 8187).

use super::charset::{Charset, Label};
use super::coding::{Base64, hex};

/// A stretch of a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it is.
    Text(&'a [u8]),
    /// Encoded words with nothing but white space between them, and what they stand for.
    Words(&'a [u8], Vec<u8>),
}

/// The stretches of a value.
pub(super) fn pieces(value: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < value.len() {
        let Some((mut text, length)) = word(&value[at..]) else {
            at += 1;
            continue;
        };
        if from < at {
            pieces.push(Piece::Text(&value[from..at]));
        }
        let start = at;
        at += length;
        loop {
            let space = value[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let Some((more, length)) = word(&value[at + space..]) else { break };
            text.extend_from_slice(&more);
            at += space + length;
        }
        pieces.push(Piece::Words(&value[start..at], text));
        from = at;
    }
    if from < value.len() {
        pieces.push(Piece::Text(&value[from..]));
    }
    pieces
}

/// A value with its encoded words decoded.
pub(super) fn decoded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for piece in pieces(value) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Words(_, text) => out.extend_from_slice(&text),
        }
    }
    out
}

/// The encoded word that comes first, in UTF-8, and its length.
fn word(raw: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = raw.strip_prefix(b"=?")?;
    let mut parts = rest.splitn(3, |byte| *byte == b'?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.windows(2).position(|pair| pair == b"?=")?;
    let text = &rest[..end];
    let fits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_graphic);
    if !fits(charset) || text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return None;
    }
    let mut bytes = Vec::new();
    match encoding {
        b"B" | b"b" => Base64::decode_all(text, &mut bytes),
        b"Q" | b"q" => unescape(text, b'=', &mut bytes),
        _ => return None,
    }
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + end + 2;
    let charset = charset.split(|byte| *byte == b'*').next().unwrap_or(charset);
    Some((in_utf_8(bytes, charset), length))
}

/// What an extended value stands for: `charset'language'text`, or text alone in the later pieces of one.
pub(super) fn extended(raw: &[u8]) -> Vec<u8> {
    let mut parts = raw.splitn(3, |byte| *byte == b'\'');
    let (charset, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(text)) => (charset, text),
        _ => (&b""[..], raw),
    };
    let mut bytes = Vec::new();
    unescape(text, b'%', &mut bytes);
    in_utf_8(bytes, charset)
}

/// Appends what escapes of two hexadecimal digits stand for. In a Q-encoded word an underscore is a space.
fn unescape(text: &[u8], escape: u8, out: &mut Vec<u8>) {
    let mut at = 0;
    while at < text.len() {
        let escaped = if text[at] == escape { hex(&text[at + 1..]) } else { None };
        out.push(match text[at] {
            b'_' if escape == b'=' => b' ',
            byte => escaped.unwrap_or(byte),
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
}

fn in_utf_8(bytes: Vec<u8>, charset: &[u8]) -> Vec<u8> {
    let charset = match Label::of(&String::from_utf8_lossy(charset)) {
        Label::Known(charset) => charset,
        Label::Unordered { .. } => Charset::sniffed(&bytes).unwrap_or(Charset::Utf16Be),
        Label::Ascii | Label::Unreadable => return bytes,
    };
    let mut plain = Vec::new();
    charset.decode(&bytes, true, &mut plain);
    plain
}

/// Appends text as encoded words in the place of others, folded as those were.
pub(super) fn write(text: &[u8], instead_of: &[u8], out: &mut Vec<u8>) {
    /// Bytes of a word, which has at most 75 characters (RFC 2047 section 2).
    const MOST: usize = 45;
    let fold: &[u8] = match instead_of {
        raw if raw.windows(2).any(|pair| pair == b"\r\n") => b"\r\n ",
        raw if raw.contains(&b'\n') => b"\n ",
        _ => b" ",
    };
    let mut rest = text;
    loop {
        // No character is cut.
        let inside = |at: &usize| rest.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
        let mut end = rest.len().min(MOST);
        while end > MOST - 4 && inside(&end) {
            end -= 1;
        }
        out.extend_from_slice(b"=?UTF-8?B?");
        Base64::encode_all(&rest[..end], out);
        out.extend_from_slice(b"?=");
        rest = &rest[end..];
        if rest.is_empty() {
            return;
        }
        out.extend_from_slice(fold);
    }
}

/// Appends an extended value.
pub(super) fn write_extended(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"UTF-8''");
    for &byte in text {
        // RFC 8187 section 3.2.1, attr-char.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2047 section 8, and how mail writes it in practice.
    #[test]
    fn words_are_decoded() {
        for (value, expected) in [
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("=?ISO-8859-1?Q?a?=\r\n  =?utf-8*no?b?w7g=?=", "aø"),
            ("=?ISO-8859-1?Q?bl=E5_b=e6r?=", "blå bær"),
            ("=?utf-8?x?a?= =?a", "=?utf-8?x?a?= =?a"),
        ] {
            assert_eq!(String::from_utf8(decoded(value.as_bytes())).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "blåbær og mer ".repeat(20);
        let mut out = Vec::new();
        write(text.as_bytes(), b"a\r\n b", &mut out);
        assert_eq!(String::from_utf8(decoded(&out)).unwrap(), text);
        assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() <= 78));
        let mut out = Vec::new();
        write_extended("blå'bær %".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(extended(&out)).unwrap(), "blå'bær %");
    }
}
