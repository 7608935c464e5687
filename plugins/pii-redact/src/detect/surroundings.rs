//! What stands around digits and says that they are part of something larger: a row of numbers, a drawing, a UUID, a time.

use super::{Before, Candidate, NeedMore};

/// The groups of a UUID (RFC 9562 section 4).
const UUID: [usize; 5] = [8, 4, 4, 4, 12];
/// Drawing commands of SVG paths (SVG 2 section 9.3) that have four numbers or more; `M` and `T` in front of a number
/// rather mean "mobile" and "telephone".
const LONG_COMMANDS: &[u8] = b"CcSsQqLlAa";
const COMMANDS: &[u8] = b"MmLlHhVvCcSsQqTtAa";
/// So many numbers are looked at for the decimal or drawing command behind them.
const NUMBERS_AHEAD: usize = 4;
/// What behind a number makes it an amount, of money, time or data.
const UNITS: [&str; 20] = [
    "kr", "kroner", "nok", "sek", "dkk", "isk", "eur", "euro", "usd", "€", "%", "ns", "us", "µs", "ms", "bytes",
    "byte", "kb", "mb", "gb",
];
/// More digits before or behind a decimal point aren't looked at.
const LONGEST_PART: usize = 8;

/// Whether the position is the start of a group of a UUID.
pub fn in_uuid(candidate: &Candidate<'_>) -> Result<bool, NeedMore> {
    for first in 0..UUID.len() {
        if follows_groups(&candidate.before, &UUID[..first]) {
            let found = are_groups(candidate, &UUID[first..])?;
            if found || first > 0 {
                return Ok(found);
            }
        }
    }
    Ok(false)
}

fn follows_groups(before: &Before<'_>, groups: &[usize]) -> bool {
    let mut index = 0;
    for group in groups.iter().rev() {
        if before.at(index) != b'-' || !(1..=*group).all(|offset| before.at(index + offset).is_ascii_hexdigit()) {
            return false;
        }
        index += group + 1;
    }
    !groups.is_empty() || before.at(0) != b'-' || !before.at(1).is_ascii_hexdigit()
}

fn are_groups(candidate: &Candidate<'_>, groups: &[usize]) -> Result<bool, NeedMore> {
    let mut index = 0;
    for (order, &group) in groups.iter().enumerate() {
        if order > 0 {
            if candidate.at(index)? != Some(b'-') {
                return Ok(false);
            }
            index += 1;
        }
        for _ in 0..group {
            if !candidate.at(index)?.is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Ok(false);
            }
            index += 1;
        }
    }
    Ok(!candidate.at(index)?.is_some_and(super::is_alphanumeric))
}

/// Whether groups of digits up to `end` are some numbers of many: a row of a table, a lottery's, or a drawing. `first` and
/// `last` are the sizes of the outer groups.
pub fn in_row(candidate: &Candidate<'_>, end: usize, first: usize, last: usize) -> Result<bool, NeedMore> {
    let before = &candidate.before;
    // Colours: `rgb(213 63 140)`.
    let hundreds = |index: usize| candidate.text.get(index..index + 3).is_some_and(|text| text <= &b"255"[..]);
    let alone =
        matches!(before.at(0), b'(' | b'`' | b'\'' | b'"') && b")`'\"/".contains(&candidate.at(end)?.unwrap_or(b' '));
    if first == 3 && alone && hundreds(0) && hundreds(7) {
        return Ok(true);
    }
    // Offsets from UTC and the like: `80 70 70 70`.
    let round = first == 2 && (0..4).all(|pair| candidate.text.get(3 * pair + 1) == Some(&b'0'));
    let part = round || matches!(before.at(0), b'-' | b'/' | b':' | b'$') && before.at(1).is_ascii_digit();
    if part
        || follows_number(before, first)
        || follows_decimal(before)
        || follows_command(before)
        || follows_path(before)
        || follows_dumped(before)
    {
        return Ok(true);
    }
    match candidate.at(end)? {
        Some(b',') => return is_decimal(candidate, end + 1),
        Some(b'-') => return Ok(candidate.digit(end + 1)?.is_some()),
        Some(b' ') => {}
        _ => return Ok(false),
    }
    let mut next = end + 1;
    while next < end + 8 && candidate.at(next)? == Some(b' ') {
        next += 1;
    }
    Ok(is_group(candidate, next, last)?
        || is_dumped(candidate, next)?
        || is_command(candidate, next)?
        || leads_to_path(candidate, next)?)
}

/// Whether what ends at `end` is an amount by its unit, or a share.
pub fn is_amount(candidate: &Candidate<'_>, end: usize) -> Result<bool, NeedMore> {
    if candidate.at(end)? == Some(b',') && candidate.at(end + 1)? == Some(b'-') {
        return Ok(true);
    }
    let start = end + usize::from(candidate.at(end)? == Some(b' '));
    'units: for unit in UNITS {
        for (offset, byte) in unit.bytes().enumerate() {
            if !candidate.at(start + offset)?.is_some_and(|found| found.eq_ignore_ascii_case(&byte)) {
                continue 'units;
            }
        }
        return Ok(!candidate.at(start + unit.len())?.is_some_and(super::is_alphanumeric));
    }
    Ok(false)
}

/// Whether digits are a coordinate by what stands before: a decimal, a drawing command, or a point without a whole part.
pub fn is_coordinate(candidate: &Candidate<'_>) -> bool {
    let before = &candidate.before;
    let lone = !super::is_alphanumeric(before.at(1))
        || COMMANDS.contains(&before.at(1)) && !super::is_alphanumeric(before.at(2));
    follows_decimal(before) || follows_command(before) || before.at(0) == b'.' && before.at(1) != b' ' && lone
}

/// Whether the dot before is a decimal point: behind digits, or where a number without a whole part may start.
pub fn follows_point(before: &Before<'_>) -> bool {
    let [second, third] = [before.at(1), before.at(2)];
    second.is_ascii_digit()
        || b" -,(+*=:\"'[<>|&".contains(&second)
        || COMMANDS.contains(&second) && !third.is_ascii_alphabetic() && !super::continues(before.at(3), third)
}

/// A space, also as a form writes it.
fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b'+')
}

/// Whether a group of `size` digits and spaces stand before. Norway's code alone does not make a row.
fn follows_number(before: &Before<'_>, size: usize) -> bool {
    let Some(start) = (0..Before::REACH).find(|index| !is_gap(before.at(*index))).filter(|start| *start > 0) else {
        return false;
    };
    let group = |start: usize| {
        (0..size).all(|offset| before.at(start + offset).is_ascii_digit())
            && !super::is_alphanumeric(before.at(start + size))
    };
    let code = before.at(start) == b'7' && before.at(start + 1) == b'4';
    let alone = !(is_gap(before.at(start + 2)) && before.at(start + 3).is_ascii_digit());
    group(start) && !(size == 2 && code && alone)
}

/// Whether a number with a decimal point, and a space or comma, stand before.
fn follows_decimal(before: &Before<'_>) -> bool {
    let mut index = (0..3).find(|index| !(is_gap(before.at(*index)) || before.at(*index) == b',')).unwrap_or(0);
    let parted = index > 0;
    let mut digits = || {
        let start = index;
        while index < Before::REACH && before.at(index).is_ascii_digit() {
            index += 1;
        }
        let found = index > start;
        index += 1;
        (found, before.at(index - 1))
    };
    let (fraction, point) = digits();
    let (_, further) = digits();
    parted && fraction && point == b'.' && further != b'.'
}

/// Whether a drawing command and a space stand before.
fn follows_command(before: &Before<'_>) -> bool {
    is_gap(before.at(0)) && LONG_COMMANDS.contains(&before.at(1)) && !super::is_alphanumeric(before.at(2))
}

/// Whether numbers stand before, one of which is a decimal, up to a drawing command that has another number before it or
/// opens the path. Where they reach farther than anything is known, too.
fn follows_path(before: &Before<'_>) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || is_gap(byte) || matches!(byte, b'.' | b',' | b'-');
    let reach = (0..Before::REACH).find(|index| !is_part(before.at(*index))).unwrap_or(Before::REACH);
    let bytes = before.bytes();
    let numbers = &bytes[Before::REACH - reach..];
    let whole = |number: &&[u8]| !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if numbers.split(|byte| is_gap(*byte)).filter(whole).count() > 1 {
        return true;
    }
    let decimal = |number: &[u8]| {
        let point = number.iter().position(|byte| *byte == b'.');
        point.is_some_and(|point| {
            let fraction = &number[point + 1..];
            !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit)
        })
    };
    if numbers.split(|byte| !byte.is_ascii_digit() && *byte != b'.').any(decimal) {
        return true;
    }
    let beyond = before.at(reach + 1);
    let opens = beyond.is_ascii_digit() || matches!(beyond, b'"' | b'\'' | b'`' | b'z' | b'Z' | b'.');
    let opens = opens || beyond == b' ' && before.at(reach + 2).is_ascii_digit();
    COMMANDS.contains(&before.at(reach)) && opens && numbers.iter().any(u8::is_ascii_digit)
}

/// Whether some numbers stand at `index`, and then a decimal or a drawing command.
fn leads_to_path(candidate: &Candidate<'_>, mut index: usize) -> Result<bool, NeedMore> {
    for _ in 0..NUMBERS_AHEAD {
        if is_decimal(candidate, index)? {
            return Ok(true);
        }
        index += usize::from(candidate.at(index)? == Some(b'-'));
        let start = index;
        while index < start + LONGEST_PART && candidate.digit(index)?.is_some() {
            index += 1;
        }
        if index == start {
            return Ok(false);
        }
        if candidate.at(index)? != Some(b' ') {
            return is_command(candidate, index);
        }
        index += 1;
    }
    Ok(false)
}

/// Whether a number of `count` digits stands at `index`; a drawing command may follow at once.
fn is_group(candidate: &Candidate<'_>, index: usize, count: usize) -> Result<bool, NeedMore> {
    for offset in 0..count {
        if candidate.digit(index + offset)?.is_none() {
            return Ok(false);
        }
    }
    let end = index + count;
    Ok(candidate.number_may_end(end)? || candidate.digit(end)?.is_none() && is_command(candidate, end)?)
}

/// Whether such a byte and a space stand before.
fn follows_dumped(before: &Before<'_>) -> bool {
    let [second, first] = [before.at(1), before.at(2)];
    is_gap(before.at(0))
        && first.is_ascii_hexdigit()
        && second.is_ascii_hexdigit()
        && first.is_ascii_digit() != second.is_ascii_digit()
        && is_gap(before.at(3))
        && before.at(4).is_ascii_hexdigit()
}

/// Whether a byte in hexadecimal that is no number stands at `index`: of a dump.
fn is_dumped(candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
    let (Some(first), Some(second)) = (candidate.at(index)?, candidate.at(index + 1)?) else { return Ok(false) };
    let hex = first.is_ascii_hexdigit() && second.is_ascii_hexdigit();
    let mixed = first.is_ascii_digit() != second.is_ascii_digit();
    Ok(hex && mixed && !candidate.at(index + 2)?.is_some_and(super::is_alphanumeric))
}

/// Whether a number with a decimal point stands at `index`, and no date.
fn is_decimal(candidate: &Candidate<'_>, mut index: usize) -> Result<bool, NeedMore> {
    for sign in [b' ', b'-'] {
        index += usize::from(candidate.at(index)? == Some(sign));
    }
    for after in [b'.', b' '] {
        let start = index;
        while index < start + LONGEST_PART && candidate.digit(index)?.is_some() {
            index += 1;
        }
        if after == b'.' && candidate.at(index)? != Some(b'.') || after == b' ' && index == start {
            return Ok(false);
        }
        index += usize::from(after == b'.');
    }
    Ok(candidate.at(index)? != Some(b'.') || candidate.digit(index + 1)?.is_none())
}

/// Whether a drawing command stands at `index`, with a number behind it unless it closes the path.
fn is_command(candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
    let Some(command) = candidate.at(index)? else { return Ok(false) };
    if matches!(command, b'z' | b'Z') {
        return Ok(!candidate.at(index + 1)?.is_some_and(super::is_alphanumeric));
    }
    if !COMMANDS.contains(&command) {
        return Ok(false);
    }
    let next = match candidate.at(index + 1)? {
        Some(b' ') => candidate.at(index + 2)?,
        next => next,
    };
    Ok(next.is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')))
}

/// Whether six digits, a space and five more are a time of the day and the number of a process, as logs begin with them:
/// behind a date, or before a level.
pub fn is_time_and_process(candidate: &Candidate<'_>) -> Result<bool, NeedMore> {
    let mut time = [0; 6];
    if !candidate.digits(0, &mut time)? || candidate.at(6)? != Some(b' ') {
        return Ok(false);
    }
    let pairs: [u8; 3] = std::array::from_fn(|index| time[2 * index] * 10 + time[2 * index + 1]);
    if pairs[0] > 23 || pairs[1] > 59 || pairs[2] > 59 {
        return Ok(false);
    }
    let date = |index: &usize| matches!(candidate.before.at(*index), b'0'..=b'9' | b'-' | b'/');
    if is_gap(candidate.before.at(0)) && (1..=6).all(|index| date(&index)) {
        return Ok(true);
    }
    for level in ["INFO", "WARN", "ERROR", "DEBUG", "TRACE", "FATAL", "NOTICE"] {
        let mut matches = candidate.at(12)? == Some(b' ');
        for (offset, byte) in level.bytes().enumerate() {
            matches = matches && candidate.at(13 + offset)?.is_some_and(|found| found.eq_ignore_ascii_case(&byte));
        }
        if matches {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_uuid() {
        for (before, text, inside) in [
            ("", "12345678-1234-1234-1234-123456789012", true),
            ("12345678-", "1234-1234-1234-123456789012", true),
            ("f47ac10b-58cc-4372-", "a567-0e02b2c3d479", true),
            ("f47ac10b-58cc-4372-a567-", "123456789012 ", true),
            ("f47ac10b-58cc-4372-a567-", "1234567890123", false),
            ("", "12345678-1234-1234-1234", false),
            ("4111-", "1111-1111-1111", false),
        ] {
            assert_eq!(in_uuid(&Candidate::behind(before.as_bytes(), text.as_bytes())), Ok(inside), "{before}|{text}");
        }
    }

    #[test]
    fn colours() {
        let row = |before: &[u8], text: &[u8]| in_row(&Candidate::behind(before, text), 10, 3, 3).unwrap();
        assert!(row(b"rgb(", b"213 63 140)") && row(b"`", b"213 63 140`"));
        assert!(!row(b"(", b"987 65 140)") && !row(b"(", b"213 63 432)") && !row(b" ", b"213 63 140"));
    }

    #[test]
    fn rows() {
        let row = |before: &str, text: &str| {
            in_row(&Candidate::behind(before.as_bytes(), text.as_bytes()), 11, 2, 2).unwrap()
        };
        for (before, text) in [
            ("98 ", "76 54 32 11"),
            ("98  ", "76 54 32 11"),
            ("", "98 76 54 32 11"),
            ("", "98 76 54 32  11"),
            ("1.5 ", "20 30 40 51"),
            ("1.5,", "20 30 40 50"),
            ("", "20 30 40 50 1.5"),
            ("", "20 30 40 50, -1.5"),
            ("d=\"C ", "20 30 40 50"),
            ("\"", "20 30 40 50 L 10"),
            ("\"", "20 30 40 50 Z\""),
            ("224c0 ", "53 43 96 96 96l256 0"),
            ("d=\"M20 ", "30 40 50 60"),
            ("148.7c0 11 9 ", "20 20 20 11 0"),
            ("114 419 q 97 ", "49 39 74 61"),
            ("93 528 67.4 528 39 ", "528 16 505 16"),
            ("", "20 30 40 50 16 476.6"),
            ("", "20 30 40 50 123l0 3"),
            ("", "20 30 40 50 2f"),
            ("1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 0 ", "20 30 40 50"),
            ("", "20 30 40 50 60l1"),
            ("", "20 30 40 50-9 20"),
            ("12-", "98 76 54 32"),
            ("|", "80 70 70 70|"),
            ("`23 4 ", "23 10 17 10`"),
            ("33 2b ", "33 34 35 36 FF"),
        ] {
            assert!(row(before, text), "{before}|{text}");
        }
        for (before, text) in [
            ("", "98 76 54 32"),
            ("T ", "98 76 54 32"),
            ("M ", "98 76 54 32 a"),
            ("47 ", "98 76 54 32"),
            ("0150 ", "98 76 54 32 0150"),
            ("avd. 3 ", "98 76 54 32"),
            ("A4 ", "98 76 54 32"),
            ("", "98 76 54 32 - 91"),
            ("12, ", "98 76 54 32, 12"),
            ("24.12.2026 ", "98 76 54 32 24.12.2026"),
            ("", "98 76 54 32 Lars"),
        ] {
            assert!(!row(before, text), "{before}|{text}");
        }
    }
}
