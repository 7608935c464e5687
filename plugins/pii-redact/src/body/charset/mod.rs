//! Character sets that UTF-8 readers can't read: text in them is read as UTF-8 and written back.
//!
//! Every sequence of bytes comes back as it was, also one that its charset forbids: halves of surrogate pairs and numbers
//! beyond Unicode travel in the general form that UTF-8 once had (RFC 2279, WTF-8), undefined bytes as the surrogates
//! U+DC80 to U+DCFF, which is what Python's `surrogateescape` does.

mod tables;

use serde::{Deserialize, Serialize};
use tables::Table;

/// A charset that is read by turning it into UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Charset {
    Utf16Le,
    Utf16Be,
    Utf32Le,
    Utf32Be,
    Windows1252,
    Latin9,
    Latin6,
    Latin4,
    Windows1257,
    Windows1250,
    Macintosh,
    Cp850,
    Cp865,
}

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Label {
    /// One that extends ASCII, so that it can be read as it is; also one that nobody knows.
    Ascii,
    /// UTF-16 or UTF-32, in the byte order that its first bytes tell.
    Unordered {
        /// UTF-32.
        wide: bool,
    },
    /// One that has to be turned into UTF-8.
    Known(Charset),
    /// One in which ASCII bytes mean something else.
    Unreadable,
}

impl Label {
    /// The meaning of a `charset` parameter (WHATWG Encoding standard, section 4.2, and IANA's names).
    pub fn of(label: &str) -> Self {
        let label = label.trim().to_ascii_lowercase().replace('_', "-");
        Self::Known(match label.as_str() {
            "utf-16le" | "unicodefffe-le" => Charset::Utf16Le,
            "utf-16be" | "unicodefffe" => Charset::Utf16Be,
            "utf-32le" => Charset::Utf32Le,
            "utf-32be" => Charset::Utf32Be,
            "iso-8859-1" | "latin1" | "latin-1" | "l1" | "iso8859-1" | "iso88591" | "windows-1252" | "cp1252"
            | "x-cp1252" | "ansi" | "cp819" | "ibm819" | "iso-ir-100" => Charset::Windows1252,
            "iso-8859-15" | "latin9" | "latin-9" | "l9" | "iso8859-15" | "iso885915" => Charset::Latin9,
            "iso-8859-10" | "latin6" | "l6" | "iso8859-10" | "iso-ir-157" => Charset::Latin6,
            "iso-8859-4" | "latin4" | "l4" | "iso8859-4" | "iso-ir-110" => Charset::Latin4,
            "windows-1257" | "cp1257" | "x-cp1257" => Charset::Windows1257,
            "windows-1250" | "cp1250" | "x-cp1250" => Charset::Windows1250,
            "macintosh" | "mac" | "x-mac-roman" => Charset::Macintosh,
            "cp850" | "ibm850" | "850" => Charset::Cp850,
            "cp865" | "ibm865" | "865" => Charset::Cp865,
            "utf-16" | "utf16" | "ucs-2" | "iso-10646-ucs-2" | "unicode" | "csunicode" => {
                return Self::Unordered { wide: false };
            }
            "utf-32" | "utf32" | "ucs-4" | "iso-10646-ucs-4" => return Self::Unordered { wide: true },
            _ if is_unreadable(&label) => return Self::Unreadable,
            _ => return Self::Ascii,
        })
    }
}

impl Label {
    /// Whether characters have two bytes or four.
    pub(super) fn is_wide(self) -> bool {
        match self {
            Self::Unordered { .. } => true,
            Self::Known(charset) => charset.table().is_none(),
            Self::Ascii | Self::Unreadable => false,
        }
    }
}

/// Charsets whose bytes below 0x80 aren't ASCII: those that switch by escapes, and EBCDIC's code pages.
fn is_unreadable(label: &str) -> bool {
    let page = ["ibm", "cp"].iter().find_map(|prefix| label.strip_prefix(prefix)).unwrap_or("");
    let page = page.trim_start_matches('0');
    let ebcdic = ["37", "273", "277", "278", "280", "284", "285", "297", "500", "870", "871", "924", "1026", "1047"];
    ["utf-7", "utf7", "unicode-1-1-utf-7", "iso-2022-", "hz-gb-2312", "scsu", "bocu", "replacement"]
        .iter()
        .any(|start| label.starts_with(start))
        || label.contains("ebcdic")
        || ebcdic.contains(&page)
        || (page.len() == 4 && page.starts_with("114"))
}

impl Charset {
    /// The charset that the first bytes of a text show: a byte order mark, or the zero bytes of ASCII characters (RFC 4627,
    /// section 3). Four bytes are enough; `None` of fewer is final only where no more come.
    pub fn sniffed(start: &[u8]) -> Option<Self> {
        match start {
            [0xFF, 0xFE, 0, 0, ..] => Some(Self::Utf32Le),
            [0, 0, 0xFE, 0xFF, ..] => Some(Self::Utf32Be),
            [0xFF, 0xFE, ..] => Some(Self::Utf16Le),
            [0xFE, 0xFF, ..] => Some(Self::Utf16Be),
            [a, 0, 0, 0, ..] if is_text(*a) => Some(Self::Utf32Le),
            [0, 0, 0, d, ..] if is_text(*d) => Some(Self::Utf32Be),
            [a, 0, c, 0, ..] if is_text(*a) && is_text(*c) => Some(Self::Utf16Le),
            [0, b, 0, d, ..] if is_text(*b) && is_text(*d) => Some(Self::Utf16Be),
            [a, 0] if is_text(*a) => Some(Self::Utf16Le),
            [0, b] if is_text(*b) => Some(Self::Utf16Be),
            _ => None,
        }
    }

    fn table(self) -> Option<&'static Table> {
        Some(match self {
            Self::Utf16Le | Self::Utf16Be | Self::Utf32Le | Self::Utf32Be => return None,
            Self::Windows1252 => &tables::WINDOWS_1252,
            Self::Latin9 => &tables::LATIN_9,
            Self::Latin6 => &tables::LATIN_6,
            Self::Latin4 => &tables::LATIN_4,
            Self::Windows1257 => &tables::WINDOWS_1257,
            Self::Windows1250 => &tables::WINDOWS_1250,
            Self::Macintosh => &tables::MACINTOSH,
            Self::Cp850 => &tables::CP850,
            Self::Cp865 => &tables::CP865,
        })
    }

    /// Appends to `plain` what `raw` holds, and gives the number of bytes read: all but a unit that isn't complete.
    pub fn decode(self, raw: &[u8], last: bool, plain: &mut Vec<u8>) -> usize {
        if let Some(table) = self.table() {
            for &byte in raw {
                match byte {
                    0..0x80 => plain.push(byte),
                    _ => write(scalar(table, byte), plain),
                }
            }
            return raw.len();
        }
        let mut at = 0;
        while let Some((scalar, length)) = self.unit(&raw[at..], last) {
            write(scalar, plain);
            at += length;
        }
        at
    }

    /// The first unit of UTF-16 or UTF-32: its number and length.
    fn unit(self, raw: &[u8], last: bool) -> Option<(u32, usize)> {
        if let Self::Utf32Le | Self::Utf32Be = self {
            let bytes = *raw.first_chunk::<4>()?;
            let value = if self == Self::Utf32Le { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
            return Some((value, 4));
        }
        let half = |raw: &[u8]| {
            let bytes = *raw.first_chunk::<2>()?;
            let value = if self == Self::Utf16Le { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
            Some(u32::from(value))
        };
        let high = half(raw)?;
        if !(0xD800..0xDC00).contains(&high) {
            return Some((high, 2));
        }
        match half(&raw[2..]) {
            Some(low @ 0xDC00..0xE000) => Some((0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), 4)),
            None if !last => None,
            _ => Some((high, 2)),
        }
    }

    /// Appends `plain` in this charset, and gives the number of bytes read: all but a character that isn't complete. What the
    /// charset lacks becomes `?`.
    pub fn encode(self, plain: &[u8], last: bool, raw: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while let Some((scalar, length)) = read(&plain[at..], last) {
            self.write(scalar, raw);
            at += length;
        }
        at
    }

    fn write(self, scalar: u32, raw: &mut Vec<u8>) {
        let halves = |raw: &mut Vec<u8>, bytes: fn(u16) -> [u8; 2]| {
            if scalar < 0x10000 {
                raw.extend_from_slice(&bytes(scalar as u16));
            } else {
                let offset = scalar.saturating_sub(0x10000);
                raw.extend_from_slice(&bytes(0xD800 + (offset >> 10) as u16));
                raw.extend_from_slice(&bytes(0xDC00 + (offset & 0x3FF) as u16));
            }
        };
        match (self, self.table()) {
            (_, Some(_)) if scalar < 0x80 => raw.push(scalar as u8),
            (_, Some(table)) => {
                let byte = (0x80..=0xFF).find(|&byte| self::scalar(table, byte) == scalar);
                raw.push(byte.unwrap_or(b'?'));
            }
            (Self::Utf32Le, _) => raw.extend_from_slice(&scalar.to_le_bytes()),
            (Self::Utf32Be, _) => raw.extend_from_slice(&scalar.to_be_bytes()),
            (Self::Utf16Le, _) => halves(raw, u16::to_le_bytes),
            _ => halves(raw, u16::to_be_bytes),
        }
    }
}

/// Whether a byte may be a character of text in a charset that extends Latin-1.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0xA0..)
}

/// What a byte from 0x80 on stands for.
fn scalar(table: &Table, byte: u8) -> u32 {
    match table[usize::from(byte & 0x7F)] {
        char::REPLACEMENT_CHARACTER => 0xDC00 + u32::from(byte),
        character => u32::from(character),
    }
}

/// Appends a number in UTF-8 as RFC 2279 extended it, in up to seven bytes.
fn write(value: u32, out: &mut Vec<u8>) {
    let tails = match value {
        0..0x80 => return out.push(value as u8),
        0x80..0x800 => 1,
        0x800..0x1_0000 => 2,
        0x1_0000..0x20_0000 => 3,
        0x20_0000..0x400_0000 => 4,
        0x400_0000..0x8000_0000 => 5,
        _ => 6,
    };
    out.push(!(0x7F_u8 >> tails) | value.checked_shr(6 * tails).unwrap_or(0) as u8);
    for tail in (0..tails).rev() {
        out.push(0x80 | (value.checked_shr(6 * tail).unwrap_or(0) & 0x3F) as u8);
    }
}

/// The first character of what [`write()`] wrote: its number and length. What it can't have written is `?`.
fn read(plain: &[u8], last: bool) -> Option<(u32, usize)> {
    const WRONG: u32 = b'?' as u32;
    let lead = *plain.first()?;
    let tails = match lead.leading_ones() {
        0 => return Some((u32::from(lead), 1)),
        1 | 8 => return Some((WRONG, 1)),
        ones => ones as usize - 1,
    };
    let mut value = u64::from(lead & (0x7F_u8.checked_shr(tails as u32 + 1).unwrap_or(0)));
    for at in 1..=tails {
        match plain.get(at) {
            Some(byte @ 0x80..0xC0) => value = value << 6 | u64::from(byte & 0x3F),
            None if !last => return None,
            _ => return Some((WRONG, 1)),
        }
    }
    Some((u32::try_from(value).unwrap_or(WRONG), tails + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Charset; 13] = [
        Charset::Utf16Le,
        Charset::Utf16Be,
        Charset::Utf32Le,
        Charset::Utf32Be,
        Charset::Windows1252,
        Charset::Latin9,
        Charset::Latin6,
        Charset::Latin4,
        Charset::Windows1257,
        Charset::Windows1250,
        Charset::Macintosh,
        Charset::Cp850,
        Charset::Cp865,
    ];

    fn there_and_back(charset: Charset, raw: &[u8]) -> Vec<u8> {
        let (mut plain, mut back) = (Vec::new(), Vec::new());
        let read = charset.decode(raw, true, &mut plain);
        assert_eq!(charset.encode(&plain, true, &mut back), plain.len());
        back.extend_from_slice(&raw[read..]);
        back
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for charset in ALL {
            assert_eq!(there_and_back(charset, &all), all, "{charset:?}");
        }
        for wrong in [
            &[0xFF; 8][..],
            b"\x00\xD8\x00\xD8\x00\xDC\x00\xDC",
            b"\x00\x00\x00\x80\xFF\xFF\xFF\x7F\x00\x00\x11\x00",
            b"\0",
        ] {
            for charset in ALL {
                assert_eq!(there_and_back(charset, wrong), wrong, "{charset:?}");
            }
        }
    }

    #[test]
    fn text_becomes_utf_8() {
        let decoded = |charset: Charset, raw: &[u8]| {
            let mut plain = Vec::new();
            charset.decode(raw, true, &mut plain);
            String::from_utf8(plain).unwrap()
        };
        assert_eq!(decoded(Charset::Windows1252, b"bl\xE5b\xE6r \x80"), "blåbær €");
        assert_eq!(decoded(Charset::Latin9, b"\xA4\xF8"), "€ø");
        assert_eq!(decoded(Charset::Cp865, b"bl\x86b\x91r\x9B"), "blåbærø");
        assert_eq!(decoded(Charset::Macintosh, b"bl\x8Cb\xBEr\xBF"), "blåbærø");
        assert_eq!(decoded(Charset::Utf16Be, b"\x00\xF8\xD8\x3D\xDE\x00"), "ø😀");
        assert_eq!(decoded(Charset::Utf32Le, b"\xF8\0\0\0\x00\xF6\x01\0"), "ø😀");
    }

    #[test]
    fn what_a_charset_lacks_is_a_question_mark() {
        let mut raw = Vec::new();
        Charset::Windows1252.encode("ø€Ж😀".as_bytes(), true, &mut raw);
        assert_eq!(raw, b"\xF8\x80??");
    }

    #[test]
    fn labels() {
        assert_eq!(Label::of("UTF-8"), Label::Ascii);
        assert_eq!(Label::of(" ISO_8859-1 "), Label::Known(Charset::Windows1252));
        assert_eq!(Label::of("utf-16"), Label::Unordered { wide: false });
        for label in ["utf-7", "ISO-2022-JP", "IBM037", "ebcdic-no", "cp1047", "ibm01140", "CP277"] {
            assert_eq!(Label::of(label), Label::Unreadable, "{label}");
        }
        for label in ["windows-1251", "cp1251", "big5", "shift_jis", "us-ascii", "x", "ibm437"] {
            assert_eq!(Label::of(label), Label::Ascii, "{label}");
        }
    }

    #[test]
    fn first_bytes() {
        for (start, charset) in [
            (&b"\xFF\xFEa\0"[..], Some(Charset::Utf16Le)),
            (b"\xFF\xFE\0\0", Some(Charset::Utf32Le)),
            (b"{\0\"\0", Some(Charset::Utf16Le)),
            (b"\0{\0\"", Some(Charset::Utf16Be)),
            (b"\0\0\0{", Some(Charset::Utf32Be)),
            (b"{\"a\"", None),
            (b"\0\0\0\x05", None),
        ] {
            assert_eq!(Charset::sniffed(start), charset, "{start:?}");
        }
    }
}
