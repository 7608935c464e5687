//! One unit of raw bytes: a byte that stands for itself, an escape, or a character that only looks different from one of ASCII.
//!
//! Escapes are those of JSON, of percent-encoding, and character references of HTML. Documents inside strings double their
//! backslashes, so any number of them may stand before an escape. Folded are digits and signs of full width, spaces that
//! don't break or are narrow, hyphens and dashes; what has no width is passed by.

use super::Syntax;

/// One decoded unit.
pub(super) enum Unit {
    /// A byte that stands for itself.
    Plain,
    /// Up to four bytes from `1` raw bytes.
    Bytes([u8; 4], usize, usize),
    /// The value ends before this raw byte.
    Stop,
    /// The unit's raw bytes aren't all there.
    Starved,
}

/// Backslashes before an escape: documents four deep have 15.
const MOST_BACKSLASHES: usize = 15;
/// Character references that have names and matter; those by number are all known (HTML standard, section 13.5).
const REFERENCES: [(&[u8], &str); 18] = [
    (b"amp", "&"),
    (b"lt", "<"),
    (b"gt", ">"),
    (b"quot", "\""),
    (b"apos", "'"),
    (b"nbsp", " "),
    (b"commat", "@"),
    (b"period", "."),
    (b"plus", "+"),
    (b"hyphen", "-"),
    (b"dash", "-"),
    (b"ndash", "-"),
    (b"thinsp", " "),
    (b"ensp", " "),
    (b"shy", ""),
    (b"sol", "/"),
    (b"colon", ":"),
    (b"lowbar", "_"),
];
/// The longest name, or number, of a reference.
const LONGEST_REFERENCE: usize = 8;

/// Bytes that always stand for themselves: letters, digits, and signs that nothing is written with.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b' ' | b'.' | b'-' | b'@' | b'/' | b':' | b',' | b'_');
        byte += 1;
    }
    plain
};

/// Whether the byte stands for itself whatever comes.
#[inline]
pub(super) fn always_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

/// The unit at a position. `last`: nothing follows `raw`.
pub(super) fn unit(raw: &[u8], at: usize, syntax: Syntax, last: bool) -> Unit {
    let Some(&byte) = raw.get(at) else { return if last { Unit::Stop } else { Unit::Starved } };
    match (byte, syntax) {
        (b'\n' | b'\r', _) | (b'"', Syntax::Json) | (b'&' | b'=', Syntax::Form) => Unit::Stop,
        (b'+', Syntax::Form) | (b'\t', _) => Unit::Bytes([b' ', 0, 0, 0], 1, 1),
        (b'%', _) => percent(raw, at, last),
        (b'\\', Syntax::Text | Syntax::Json) => backslash(raw, at, last),
        (b'&', Syntax::Text | Syntax::Json) => reference(raw, at, last),
        (0xC2 | 0xE2 | 0xE3 | 0xEF, _) => folded(raw, at, last),
        _ => Unit::Plain,
    }
}

/// Whether a byte that starts some units other than itself is plain here; false where that can't be known.
pub(crate) fn is_plain(raw: &[u8], at: usize, syntax: Syntax, last: bool) -> bool {
    matches!(unit(raw, at, syntax, last), Unit::Plain)
}

/// A byte in percent-encoding (RFC 3986 section 2.1), or the bytes of a character that is folded.
fn percent(raw: &[u8], at: usize, last: bool) -> Unit {
    let byte = |index: usize| {
        let at = at + 3 * index;
        match raw.get(at) {
            Some(b'%') => hex(raw, at + 1, 2, last),
            None if !last => Hex::Starved,
            _ => Hex::Not,
        }
    };
    let first = match byte(0) {
        Hex::Value(value) => value as u8,
        Hex::Not => return Unit::Plain,
        Hex::Starved => return Unit::Starved,
    };
    let mut character = [first, 0, 0];
    let length = match first {
        0xC2 => 2,
        0xE2 | 0xE3 | 0xEF => 3,
        _ => 1,
    };
    for (index, decoded) in character.iter_mut().enumerate().take(length).skip(1) {
        *decoded = match byte(index) {
            Hex::Value(value) => value as u8,
            Hex::Not => return Unit::Bytes([first, 0, 0, 0], 1, 3),
            Hex::Starved => return Unit::Starved,
        };
    }
    match std::str::from_utf8(&character[..length]).ok().and_then(|text| text.chars().next()).and_then(fold) {
        Some(folded) if length > 1 => written(folded, 3 * length),
        _ => Unit::Bytes([if first == b'\t' { b' ' } else { first }, 0, 0, 0], 1, 3),
    }
}

/// RFC 8259 section 7. What isn't an escape is a backslash.
fn backslash(raw: &[u8], at: usize, last: bool) -> Unit {
    let slashes = raw[at..].iter().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    let behind = at + slashes;
    let unit = |byte| Unit::Bytes([byte, 0, 0, 0], 1, slashes + 1);
    match raw.get(behind) {
        None if last => Unit::Bytes([b'\\', 0, 0, 0], 1, slashes),
        None => Unit::Starved,
        Some(b'n') => unit(b'\n'),
        Some(b'r') => unit(b'\r'),
        Some(b't' | b'b' | b'f') => unit(b' '),
        Some(b'/') => unit(b'/'),
        // An even number of backslashes stands for themselves, and the quote behind them may end the string.
        Some(b'"') if slashes % 2 == 1 => unit(b'"'),
        Some(b'u') => match hex(raw, behind + 1, 4, last) {
            Hex::Not => Unit::Plain,
            Hex::Starved => Unit::Starved,
            Hex::Value(high @ 0xD800..=0xDBFF) => match low_surrogate(raw, behind + 5, last) {
                (Hex::Value(low), length) => {
                    character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), slashes + 5 + length)
                }
                (Hex::Not, _) => character(high, slashes + 5),
                (Hex::Starved, _) => Unit::Starved,
            },
            Hex::Value(value) => character(value, slashes + 5),
        },
        Some(_) if slashes > 1 => Unit::Bytes([b'\\', 0, 0, 0], 1, slashes & !1),
        Some(_) => Unit::Plain,
    }
}

/// A character reference, by number or name, with its semicolon.
fn reference(raw: &[u8], at: usize, last: bool) -> Unit {
    let rest = &raw[at + 1..];
    let numeric = rest.first() == Some(&b'#');
    let body = &rest[usize::from(numeric)..];
    let end = body.iter().take(LONGEST_REFERENCE + 1).position(|byte| !byte.is_ascii_alphanumeric());
    let Some(end) = end else {
        let open = body.len() <= LONGEST_REFERENCE && !last;
        return if open { Unit::Starved } else { Unit::Plain };
    };
    let length = 1 + usize::from(numeric) + end + 1;
    if body[end] != b';' || end == 0 {
        // Without the number sign, or with it.
        return if rest.is_empty() && !last { Unit::Starved } else { Unit::Plain };
    }
    let name = &body[..end];
    if numeric {
        let text = std::str::from_utf8(name).unwrap_or_default();
        let value = match text.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => text.parse(),
        };
        return value.map_or(Unit::Plain, |value| character(value, length));
    }
    match REFERENCES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => bytes(text.as_bytes(), length),
        None => Unit::Plain,
    }
}

/// A character outside ASCII that is folded.
fn folded(raw: &[u8], at: usize, last: bool) -> Unit {
    let length = if raw[at] == 0xC2 { 2 } else { 3 };
    let Some(bytes) = raw.get(at..at + length) else {
        let open = !last && raw[at + 1..].iter().all(|byte| matches!(byte, 0x80..=0xBF));
        return if open { Unit::Starved } else { Unit::Plain };
    };
    let character = std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next());
    character.and_then(fold).map_or(Unit::Plain, |folded| written(folded, length))
}

/// What a character is taken for; [`Folded::Nothing`] where it has no width.
fn fold(character: char) -> Option<Folded> {
    let ascii = |byte: u32| Folded::Byte(byte as u8);
    Some(match u32::from(character) {
        code @ 0xFF01..=0xFF5E => ascii(code - 0xFF01 + 0x21),
        0xA0 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => ascii(0x20),
        0x2010..=0x2015 | 0x2212 => ascii(0x2D),
        0xAD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0xFEFF => Folded::Nothing,
        _ => return None,
    })
}

/// See [`fold`].
#[derive(Clone, Copy)]
enum Folded {
    Byte(u8),
    Nothing,
}

fn written(folded: Folded, length: usize) -> Unit {
    match folded {
        Folded::Byte(byte) => Unit::Bytes([byte, 0, 0, 0], 1, length),
        Folded::Nothing => Unit::Bytes([0; 4], 0, length),
    }
}

/// What `length` raw bytes stand for. Half of a surrogate pair alone stands for no character.
fn character(value: u32, length: usize) -> Unit {
    let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    match (fold(character), character) {
        (Some(folded), _) => written(folded, length),
        (None, '\t') => written(Folded::Byte(b' '), length),
        (None, _) => bytes(character.encode_utf8(&mut [0; 4]).as_bytes(), length),
    }
}

fn bytes(text: &[u8], length: usize) -> Unit {
    let mut bytes = [0; 4];
    bytes[..text.len()].copy_from_slice(text);
    Unit::Bytes(bytes, text.len(), length)
}

/// The escape of the second half of a surrogate pair, and its length.
fn low_surrogate(raw: &[u8], at: usize, last: bool) -> (Hex, usize) {
    let slashes =
        raw.get(at..).unwrap_or_default().iter().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    match raw.get(at + slashes) {
        Some(b'u') if slashes > 0 => {}
        None if !last => return (Hex::Starved, 0),
        _ => return (Hex::Not, 0),
    }
    match hex(raw, at + slashes + 1, 4, last) {
        Hex::Value(value) if !(0xDC00..=0xDFFF).contains(&value) => (Hex::Not, 0),
        hex => (hex, slashes + 5),
    }
}

pub(super) enum Hex {
    Value(u32),
    Not,
    Starved,
}

/// `count` hexadecimal digits.
pub(super) fn hex(raw: &[u8], at: usize, count: usize, last: bool) -> Hex {
    let mut value = 0;
    for index in at..at + count {
        match raw.get(index).map(|&byte| char::from(byte).to_digit(16)) {
            Some(Some(digit)) => value = value * 16 + digit,
            Some(None) => return Hex::Not,
            None if last => return Hex::Not,
            None => return Hex::Starved,
        }
    }
    Hex::Value(value)
}
