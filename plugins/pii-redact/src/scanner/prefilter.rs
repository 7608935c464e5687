//! What holds nothing, known by a glance at raw bytes. All of it is only to be faster: where a glance doesn't tell, the
//! detectors are asked, and where it does, they would find nothing.

use wide::i8x16;

use super::text::PIECE;
use crate::decode::Syntax;
use crate::decode::is_plain;
use crate::detect::order::{MOST_SEPARATORS, is_separator};
use crate::detect::{credential, email, iban};
use crate::rules::{Classes, class};

/// No value has fewer digits.
pub(super) const FEWEST_DIGITS: usize = 7;
/// A longer JSON number is looked at.
const SHORT_NUMBER: usize = 16;
/// How far back the start of a word is looked for.
const LONGEST_LOOK: usize = 64;

/// The first byte from `at` on that may start a value, or ends one.
#[inline]
pub(super) fn stop(raw: &[u8], mut at: usize, classes: &Classes) -> Option<usize> {
    if classes.has_plain_letters() {
        while let Some(block) = raw[at..].first_chunk::<BLOCK>() {
            let mut others = others(block);
            while others != 0 {
                let index = others.trailing_zeros() as usize;
                if classes.of(block[index]) >= class::SLOW {
                    return Some(at + index);
                }
                others &= others - 1;
            }
            at += BLOCK;
        }
    }
    raw[at..].iter().position(|byte| classes.of(*byte) >= class::SLOW).map(|found| at + found)
}

/// The bytes of a block that are neither ASCII letters nor spaces, and some of the signs between those; a bit each.
#[inline]
fn others(block: &[u8; BLOCK]) -> u32 {
    let bytes = i8x16::new(block.map(|byte| byte as i8));
    let letters = !bytes.simd_lt(LETTERS) & !bytes.simd_eq(BACKSLASH) & !bytes.simd_eq(UNDERSCORE);
    (!(letters | bytes.simd_eq(SPACE))).to_bitmask() & 0xFFFF
}

const BLOCK: usize = 16;
const LETTERS: i8x16 = i8x16::new([b'A' as i8; BLOCK]);
const BACKSLASH: i8x16 = i8x16::new([b'\\' as i8; BLOCK]);
const UNDERSCORE: i8x16 = i8x16::new([b'_' as i8; BLOCK]);
const SPACE: i8x16 = i8x16::new([b' ' as i8; BLOCK]);

/// The closing quote of a JSON string that holds nothing to look at. None where it does, or may. `glances`: see
/// `Rules::glances`.
#[inline]
pub(super) fn plain_string(raw: &[u8], at: usize, classes: &Classes, glances: bool) -> Option<usize> {
    if matches!(raw.get(at), Some(b'{' | b'[' | b' ')) {
        return None;
    }
    let mut from = if glances { uuid(raw, at).unwrap_or(at) } else { at };
    loop {
        let found = stop(raw, from, classes)?;
        from = match raw[found] {
            b'"' => return Some(found),
            b':' if glances => colon(raw, found, at, false)?,
            b'(' if glances => parenthesis(raw, found)?,
            b'-' | b'_' | b'.' if glances && found > at => affix(raw, found, at, false)?,
            b'0'..=b'9' if glances => digits(raw, found, at, false)?,
            _ => return None,
        };
    }
}

/// The end of a UUID (RFC 9562 section 4) that is all of a string: numbers in it are none. Not of one that may be an IBAN.
fn uuid(raw: &[u8], at: usize) -> Option<usize> {
    let text: &[u8; 37] = raw.get(at..at + 37)?.try_into().ok()?;
    let hyphens = [8, 13, 18, 23].iter().all(|index| text[*index] == b'-');
    let whole = hyphens && text[36] == b'"' && !(text[0].is_ascii_alphabetic() && text[1].is_ascii_alphabetic());
    (whole && text[..36].iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')).then_some(at + 36)
}

/// The end of a JSON number that is too short for a value, with what has to follow it.
#[inline]
pub(super) fn plain_number(raw: &[u8], at: usize) -> Option<usize> {
    let rest = &raw[at + usize::from(raw[at] == b'-')..];
    let (mut digits, mut dots, mut index) = (0, 0, 0);
    while let Some(&byte) = rest.get(index) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' if dots == 0 && index > 0 => dots = 1,
            b',' | b'}' | b']' => {
                let whole = digits > 0 && digits < FEWEST_DIGITS && rest[index - 1] != b'.';
                return whole.then_some(raw.len() - rest.len() + index);
            }
            _ => return None,
        }
        index += 1;
        if index > SHORT_NUMBER {
            return None;
        }
    }
    None
}

/// A hyphen, underscore or dot inside a word: whether a prefix of keys ends there, or a private key begins.
#[inline]
pub(super) fn affix(raw: &[u8], at: usize, start: usize, open: bool) -> Option<usize> {
    let next = *raw.get(at + 1)?;
    let opens = raw[at] == b'-' && matches!(next, b'-' | b'\\' | b'%' | b'&' | 0x80..);
    (!opens && !credential::ends_prefix(&raw[start..=at], open)).then_some(at + 1)
}

/// The end of digits that are part of no value, and of what they may be parted by. `start`: before it is nothing that counts.
pub(super) fn digits(raw: &[u8], at: usize, start: usize, open: bool) -> Option<usize> {
    let previous = if at > start { raw[at - 1] } else { b' ' };
    if credential::may_be_token(raw, at, start, open) {
        return None;
    }
    if previous.is_ascii_alphabetic() {
        return in_word(raw, at, start);
    }
    if previous >= 0x80 {
        return None;
    }
    if let Some(end) = timestamp(raw, at) {
        return Some(end);
    }
    if glances_like_key(raw, at) {
        return None;
    }
    if let Some(end) = lone_digits(raw, at)? {
        return Some(end);
    }
    let run = Run::of(raw, at)?;
    if run.digits < FEWEST_DIGITS || run.is_date() || run.is_address() || run.is_decimal() {
        return Some(run.end);
    }
    None
}

/// The end of a date and a time of the day with seconds and their fraction (RFC 3339).
fn timestamp(raw: &[u8], at: usize) -> Option<usize> {
    const SHAPE: &[u8; 19] = b"9999-99-99T99:99:99";
    let text: &[u8; 19] = raw.get(at..at + 19)?.try_into().ok()?;
    if text[4] != b'-' || text[13] != b':' || !(text.starts_with(b"20") || text.starts_with(b"19")) {
        return None;
    }
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'9' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' ' | b'_'),
        shape => byte == shape,
    };
    if !text.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let mut end = at + SHAPE.len();
    if matches!(raw.get(end), Some(b'.' | b',')) {
        end += 1 + raw[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    (!raw.get(end)?.is_ascii_digit()).then_some(end)
}

/// The end of a short number with nothing behind it that may be a part of it; `Some(None)` where it has to be read in full.
#[inline]
fn lone_digits(raw: &[u8], at: usize) -> Option<Option<usize>> {
    let length = raw[at..].iter().take(FEWEST_DIGITS).position(|byte| !byte.is_ascii_digit());
    let Some(end) = length.map(|length| at + length) else { return Some(None) };
    let alone = match raw[end] {
        b':' | b'"' | b'=' | b';' | b'<' | b'>' | b']' | b'}' | b'|' | b'?' | b'!' | b',' | b'_' => true,
        b' ' | b'.' | b'-' | b'/' | b')' => raw.get(end + 1)?.is_ascii_alphabetic() || raw[end + 1] == b'"',
        _ => false,
    };
    Some(alone.then_some(end))
}

/// What digits begin or are amidst in keys of Google and Microsoft.
#[inline]
fn glances_like_key(raw: &[u8], at: usize) -> bool {
    matches!(raw.get(at + 1), Some(b'/' | b'Q')) && matches!(raw.get(at + 2), None | Some(b'/' | b'~'))
}

/// Digits behind a letter: no number starts in such a word, but an IBAN or a key may.
fn in_word(raw: &[u8], at: usize, start: usize) -> Option<usize> {
    let from = at.saturating_sub(LONGEST_LOOK).max(start);
    let letters = raw[from..at].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if iban::may_be_country(&raw[at - letters..at]) && raw.get(at + 1).is_none_or(u8::is_ascii_digit) {
        return None;
    }
    let word =
        raw[from..at].iter().rposition(|byte| !byte.is_ascii_alphanumeric()).map_or(from, |found| from + found + 1);
    let key =
        credential::may_be_key(&raw[word..]) || glances_like_key(raw, at) || credential::may_be_announced(raw, at);
    if word == from && from > start || key {
        return None;
    }
    let end = at + raw[at..].iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    (raw[end] < 0x80).then_some(end)
}

/// Digits with what may part them in a value.
#[derive(Debug, Default)]
struct Run {
    digits: usize,
    end: usize,
    groups: usize,
    /// The lengths of the first groups, and the byte before each.
    first: [(usize, u8); 4],
    /// The length of the group before the last.
    previous: usize,
    /// The first four bytes.
    year: [u8; 4],
}

impl Run {
    /// None where it isn't known where it ends, or what follows it may belong to a value.
    fn of(raw: &[u8], start: usize) -> Option<Self> {
        let mut run = Self::default();
        run.year.copy_from_slice(raw.get(start..start + 4).unwrap_or(b"0000"));
        let (mut at, mut separator) = (start, b' ');
        loop {
            let group = at;
            while raw.get(at)?.is_ascii_digit() {
                at += 1;
            }
            let length = at - group;
            if let Some(first) = run.first.get_mut(run.groups) {
                *first = (length, separator);
            }
            run.groups += 1;
            run.digits += length;
            let byte = raw[at];
            if byte.is_ascii_alphabetic() {
                return run.before_letter(at, length, byte);
            }
            run.previous = length;
            let mut next = at;
            while next - at < MOST_SEPARATORS && is_separator(*raw.get(next)?) {
                next += 1;
            }
            match raw.get(next)? {
                b'0'..=b'9' if next > at => (at, separator) = (next, raw[at]),
                b'\\' | b'%' | b'&' | b'\t' | 0x80.. => return run.before_escape(raw, next),
                b' ' | b'-' | b'.' if next > at => return None,
                _ => {
                    run.end = at;
                    return Some(run);
                }
            }
        }
    }

    /// A number doesn't end before a letter. Finnish identity numbers have one in them, extensions begin with one.
    fn before_letter(mut self, at: usize, length: usize, letter: u8) -> Option<Self> {
        let sign = matches!(letter.to_ascii_uppercase(), b'A'..=b'F' | b'U'..=b'Y');
        let hetu = length == 6 && sign || length == 3 && self.previous == 6;
        let extended = matches!(letter.to_ascii_lowercase(), b'x' | b'e' | b'i' | b'a' | b'l' | b'd')
            && self.digits >= FEWEST_DIGITS;
        if hetu || extended {
            return None;
        }
        self.digits -= length;
        self.end = at;
        Some(self)
    }

    /// Line breaks end a number, however they are written.
    fn before_escape(mut self, raw: &[u8], at: usize) -> Option<Self> {
        self.end = at;
        (raw[at] == b'\\' && matches!(raw.get(at + 1), Some(b'n' | b'r'))).then_some(self)
    }

    /// `2026-01-02`, and a number that is too short for a value behind it.
    fn is_date(&self) -> bool {
        let [(4, _), (2, one), (2, other), _] = self.first else { return false };
        matches!(&self.year, [b'1', b'9', ..] | [b'2', b'0', ..])
            && one == other
            && matches!(one, b'-' | b'/' | b'.')
            && self.digits < 8 + FEWEST_DIGITS
            && (self.groups == 3 || self.first[3].1 != one)
    }

    /// An IPv4 address.
    fn is_address(&self) -> bool {
        self.groups == 4
            && self.first.iter().all(|(length, _)| *length <= 3)
            && self.first[1..].iter().all(|(_, separator)| *separator == b'.')
    }

    /// `12.345678`
    fn is_decimal(&self) -> bool {
        self.groups == 2 && self.first[1].1 == b'.' && self.first[0].0 <= 4
    }
}

/// The end of what surely is no escape, of bytes that may begin one.
pub(super) fn no_escape(raw: &[u8], at: usize, syntax: Syntax, last: bool) -> Option<usize> {
    is_plain(raw, at, syntax, last).then_some(at + 1)
}

/// An opening parenthesis: whether it may be that of an area code.
#[inline]
pub(super) fn parenthesis(raw: &[u8], at: usize) -> Option<usize> {
    let next = *raw.get(at + 1)?;
    (!next.is_ascii_digit() && !matches!(next, b'+' | b' ' | b'\\' | b'%' | b'&' | 0x80..)).then_some(at + 1)
}

/// A colon: whether a scheme and a user stand before it, so that a password follows.
pub(super) fn colon(raw: &[u8], at: usize, start: usize, open: bool) -> Option<usize> {
    let from = at.saturating_sub(LONGEST_LOOK).max(start);
    if raw[at + 1..].starts_with(b"//") {
        return authority(raw, at + 3);
    }
    let user = raw[from..at].iter().rev().take_while(|byte| credential::is_user(**byte)).count();
    let slash = at - user;
    // What comes before may be in an earlier chunk, or too far away.
    let unknown = slash - from < 3 && (from > start || open);
    (!unknown && !raw[from..slash].ends_with(b"://")).then_some(at + 1)
}

/// The start of an authority, unless a user stands before its host.
fn authority(raw: &[u8], start: usize) -> Option<usize> {
    let ends = |byte: &u8| matches!(byte, b'@' | b'/' | b'?' | b'#' | b'<' | b'>' | b'"' | b'\'' | b' ' | b'\\' | b'%' | b'&' | 0..=0x1F | 0x80..);
    let end = start + raw[start..].iter().take(LONGEST_LOOK).position(ends)?;
    matches!(raw[end], b'/' | b'?' | b'#' | b'"' | b' ').then_some(start)
}

/// A quote: whether a quoted local part of an address begins there.
pub(super) fn quote(raw: &[u8], at: usize) -> Option<usize> {
    let behind = &raw[at + 1..];
    match behind
        .iter()
        .take(email::LONGEST_QUOTED)
        .position(|byte| matches!(byte, b'"' | b'\\' | b'%' | b'&' | b'\r' | b'\n' | 0x80..))
    {
        Some(end) if behind[end] == b'"' => {
            let next = *behind.get(end + 1)?;
            (!matches!(next, b'@' | b'\\' | b'%' | b'&' | 0x80..)).then_some(at + 1)
        }
        Some(end) => matches!(behind[end], b'\r' | b'\n').then_some(at + 1),
        None => (behind.len() >= email::LONGEST_QUOTED).then_some(at + 1),
    }
}

/// Whether the local part of an address may be in the word `word..limit`, or begin there.
pub(super) fn may_hold_address(raw: &[u8], word: usize, limit: usize, last: bool) -> bool {
    // A word that is cut, by its length or because more comes, goes on.
    let end = if limit - word < PIECE { limit } else { limit + email::LONGEST_LOCAL + 1 };
    let cut = !last && end >= raw.len();
    cut || raw[word..end.min(raw.len())].iter().any(|byte| matches!(byte, b'@' | b'\\' | b'%' | b'&' | 0xEF))
}
