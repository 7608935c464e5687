//! Phone numbers: `+CC …` by E.164 and `0047 …` with a Nordic code; and without a country code Norwegian ones by their grouping, those of other
//! Nordic countries, Germany, Britain and North America where words announce them.

mod national;
mod plans;

use super::announce::{Said, Topic};
use super::{Candidate, NeedMore, Verdict, is_alphanumeric, surroundings};
use plans::{Fit, LONGEST};

/// Nobody splits a number before so many digits and writes on after them.
const LONG_GROUP: usize = 7;
/// Words before an extension, the longest first.
const EXTENSIONS: [&str; 11] =
    ["anknytning", "extension", "durchwahl", "alanumero", "lokal", "linje", "ankn", "ext", "int", "x", "#"];
const LONGEST_EXTENSION: usize = 5;

/// The length of a phone number that starts here. `said` is asked only where the digits alone don't tell.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let Some(end) = number(candidate, said)? else { return Ok(None) };
    Ok(extension(candidate, end)?.or(Some(end)))
}

/// Whether a number may start with this byte.
pub fn may_start(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'(')
}

/// The length of the number itself.
fn number(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    match candidate.at(0)? {
        Some(b'+') => match international(candidate, 1)? {
            Some(end) if is_arithmetic(candidate, end)? || is_position(candidate)? => Ok(None),
            found => Ok(found),
        },
        Some(b'(') => national::with_area(candidate, said),
        Some(b'0') if candidate.at(1)? == Some(b'0') => {
            // `00` starts many a number that is no phone number: unannounced only Nordic codes are taken.
            let nordic = match (candidate.at(2)?, candidate.at(3)?) {
                (Some(b'4'), Some(b'5'..=b'7')) => true,
                (Some(b'3'), Some(b'5')) => matches!(candidate.at(4)?, Some(b'4' | b'8')),
                _ => false,
            };
            if nordic || said().is(Topic::Phone) { international(candidate, 2) } else { Ok(None) }
        }
        Some(b'0'..=b'9') => national::find(candidate, said),
        _ => Ok(None),
    }
}

/// The end of an extension behind a number: `ext. 12`, `x12`, `#12`, `linje 12`.
fn extension(candidate: &Candidate<'_>, end: usize) -> Result<Option<usize>, NeedMore> {
    let mut start = end;
    for separator in [b',', b' '] {
        start += usize::from(candidate.at(start)? == Some(separator));
    }
    'words: for word in EXTENSIONS {
        for (offset, byte) in word.bytes().enumerate() {
            if !candidate.at(start + offset)?.is_some_and(|found| found.eq_ignore_ascii_case(&byte)) {
                continue 'words;
            }
        }
        let mut first = start + word.len();
        for separator in [b'.', b' '] {
            first += usize::from(candidate.at(first)? == Some(separator));
        }
        let mut last = first;
        while last - first <= LONGEST_EXTENSION && candidate.digit(last)?.is_some() {
            last += 1;
        }
        let fits = (1..=LONGEST_EXTENSION).contains(&(last - first)) && candidate.number_may_end(last)?;
        return Ok(fits.then_some(last));
    }
    Ok(None)
}

/// Whether what starts with `+` and ends at `end` is part of a calculation or a time, or a decimal with a sign: `(a)+16777216*b`,
/// `+27.397390`.
fn is_arithmetic(candidate: &Candidate<'_>, end: usize) -> Result<bool, NeedMore> {
    // The hour of a time that follows a date far off: `+999999-12-31 23:59`.
    if candidate.at(end)? == Some(b':') && candidate.digit(end + 1)?.is_some() {
        return Ok(true);
    }
    let operator = candidate.at(end)?.is_some_and(|byte| b"*)]/%&|^+-?<>=;".contains(&byte));
    if operator && matches!(candidate.before.at(0), b')' | b']') {
        return Ok(true);
    }
    let (mut digits, mut count, mut points) = ([0; LONGEST], 0, 0);
    for byte in &candidate.text[1..end] {
        match byte {
            b'0'..=b'9' if count < LONGEST => {
                digits[count] = byte - b'0';
                count += 1;
            }
            b'.' => points += 1,
            _ => return Ok(false),
        }
    }
    Ok(points == 1 && plans::fit(&digits[..count]) != Fit::Longest)
}

/// Whether a point on the earth starts here (ISO 6709): latitude and longitude in degrees and minutes, `+5955-01045`.
fn is_position(candidate: &Candidate<'_>) -> Result<bool, NeedMore> {
    for (latitude, longitude) in [(4, 5), (6, 7)] {
        let (mut north, mut east) = ([0; 6], [0; 7]);
        let second = latitude + 2;
        if candidate.digits(1, &mut north[..latitude])?
            && matches!(candidate.at(second - 1)?, Some(b'-' | b'+'))
            && candidate.digits(second, &mut east[..longitude])?
            && candidate.digit(second + longitude)?.is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a number may end before `index`: where others may, or before an extension.
fn may_end(candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
    Ok(candidate.number_may_end(index)? || extension(candidate, index)?.is_some())
}

/// A country code and the rest of the number, in groups parted by single separators. What follows in further groups (a
/// date, an amount) stays outside: the number ends with the last group that leaves it plausible, and no later than its
/// country's numbers do.
fn international(candidate: &Candidate<'_>, start: usize) -> Verdict {
    let mut digits = [0; LONGEST];
    let (mut count, mut index, mut found) = (0, start, None);
    // A parenthesis, as in `+(47) …` and `+44 (0)20 …`, may stand beside a separator.
    let inner = candidate.at(index)? == Some(b'(');
    index += usize::from(inner);
    let mut open = inner || candidate.before.at(0) == b'(';
    loop {
        let group = index;
        while let Some(byte) = candidate.digit(index)? {
            if count == LONGEST {
                return Ok(found);
            }
            digits[count] = byte - b'0';
            count += 1;
            index += 1;
        }
        let length = index - group;
        // The trunk prefix isn't dialled after a country code.
        if length == 1 && digits[count - 1] == 0 && count > 1 && candidate.text[group - 1] == b'(' {
            count -= 1;
        } else if length == 0
            || candidate.at(index)?.is_some_and(is_alphanumeric) && extension(candidate, index)?.is_none()
        {
            return Ok(found);
        } else {
            match plans::fit(&digits[..count]) {
                Fit::Not => {}
                Fit::Longest => return Ok(Some(index)),
                // A long group is the whole rest of the number.
                Fit::Fits if length >= LONG_GROUP => return Ok(Some(index)),
                Fit::Fits => found = Some(index),
            }
        }
        let mut separators = 0;
        while separators < 2
            && let Some(separator @ (b' ' | b'-' | b'.' | b'(' | b')' | b'/')) = candidate.at(index)?
        {
            if separator == b')' && !open {
                return Ok(found);
            }
            open |= separator == b'(';
            separators += 1;
            index += 1;
        }
        if separators == 0 {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find(&Candidate::whole(text.as_bytes()), Said::default).unwrap().map(|length| &text[..length])
    }

    #[test]
    fn numbers_that_say_so_themselves() {
        for text in [
            "+4798765432",
            "+47 98 76 54 32",
            "+47 987 65 432",
            "004798765432",
            "0047 22 33 44 55",
            "0046701234567",
            "0045 20 30 40 50",
            "00358 40 1234567",
            "+46 8 123 456 78",
            "+1 (212) 555-0123",
            "+44 20 7946 0958",
            "+442079460958",
            "+358 40 1234567",
            "98 76 54 32",
            "987 65 432",
            // RFC 5733 section 2.5.
            "+1.7035555555",
            "+47.22334455",
        ] {
            assert_eq!(found(text), Some(text));
        }
        assert_eq!(find(&Candidate::behind(b"(", b"+47) 98 76 54 32"), Said::default), Ok(Some(16)));
        assert_eq!(find(&Candidate::behind(b"<<16)", b"+16777216*this[e+3]"), Said::default), Ok(None));
    }

    #[test]
    fn borders() {
        assert_eq!(found("+4798765432, ring"), Some("+4798765432"));
        assert_eq!(found("+47 98 76 54 32 1"), Some("+47 98 76 54 32"));
        assert_eq!(found("+1 212 555 0123)"), Some("+1 212 555 0123"));
        assert_eq!(found("98 76 54 32."), Some("98 76 54 32"));
    }

    #[test]
    fn what_follows_a_number_neither_hides_it_nor_goes_with_it() {
        for (text, number) in [
            ("+46701234567 2026-01-02T03:04", "+46701234567"),
            ("+46701234567 12 stk", "+46701234567"),
            ("+1 212 555 0123 12345", "+1 212 555 0123"),
            ("+1 (212) 555-0123 12", "+1 (212) 555-0123"),
            ("+358 40 1234567 12", "+358 40 1234567"),
            ("+46 8 123 456 78 123456", "+46 8 123 456 78"),
            ("+33 (0)1 23 45 67 89 75001", "+33 (0)1 23 45 67 89"),
            ("+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
            ("+(47) 98765432", "+(47) 98765432"),
            ("+47 98 76 54 32 0150 Oslo", "+47 98 76 54 32"),
            ("98 76 54 32 0150 Oslo", "98 76 54 32"),
            ("987 65 432 12", "987 65 432"),
        ] {
            assert_eq!(found(text), Some(number), "{text}");
        }
        let told = |text: &str| find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Phone as u8)).unwrap();
        assert_eq!(told("98 76 54 32 12"), Some(11));
    }

    #[test]
    fn extensions_go_with_the_number() {
        for text in [
            "+47 22 33 44 55 ext. 123",
            "+4722334455x12",
            "+1 212 555 0123, ext 12345",
            "22 33 44 55 #12",
            "22 33 44 55 linje 3",
        ] {
            assert_eq!(found(text), Some(text));
        }
        for (text, number) in [
            ("+47 22 33 44 55 ext. 123456", Some("+47 22 33 44 55")),
            ("+47 22 33 44 55 ext.", Some("+47 22 33 44 55")),
            ("+47 22 33 44 55 xylofon", Some("+47 22 33 44 55")),
            ("+4722334455x", None),
            ("+4722334455x12a", None),
        ] {
            assert_eq!(found(text), number, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "98765432",
            "+4718765432",
            "+479876543",
            "+47987654321",
            "+1234",
            "+0123456789",
            "+1234567890123456",
            "0012345678",
            "10 20 30 40",
            "20 30 40 50 60",
            "987 65 432 123",
            "+46701234567a",
            "98 76 54 321",
            "98  76 54 32",
            "+27.397390",
            "+2505-07721",
            "+250507-0772134",
            "+10646)/10631",
            "+999999-12-31 23:59:59",
            "+61.677011",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn bare_digits_need_an_announcement() {
        let told = |text: &str| find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Phone as u8)).unwrap();
        assert_eq!(told("98765432"), Some(8));
        assert_eq!(told("4798765432"), Some(10));
        assert_eq!(told("987654321"), None);
        assert_eq!(told("18765432"), None);
    }

    /// Of Norway and Denmark, Iceland, Sweden, Finland, Germany, Britain and North America.
    const NATIONAL: &[&str] = &[
        // Norway, Denmark, Iceland.
        "9876 5432",
        "98-76-54-32",
        "47 98 76 54 32",
        "4520304050",
        "45 20 30 40 50",
        "5551234",
        "555 1234",
        "555-1234",
        "354 555 1234",
        // Sweden and Finland.
        "070-123 45 67",
        "0701234567",
        "070 123 45 67",
        "08-123 456 78",
        "08-12 34 56",
        "031-12 34 56",
        "0123-123 45",
        "46701234567",
        "46 70 123 45 67",
        "040 123 4567",
        "09 1234 5678",
        "0401234567",
        "358401234567",
        // Germany and Britain.
        "030 1234567",
        "030/1234567",
        "030 / 12 34 56 78",
        "0 30/12 34 56",
        "0151 12345678",
        "030 1234567-89",
        "(030) 1234567",
        "015112345678",
        "4915112345678",
        "020 7946 0958",
        "(020) 7946 0958",
        "0131 496 0123",
        "07911 123456",
        "447911123456",
        // North America, with the numbers that are kept for fiction (NANPA, 555 line numbers); those of Britain are
        // Ofcom's for drama use.
        "212-555-0123",
        "(212) 555-0123",
        "(212)555-0123",
        "212.555.0123",
        "1-212-555-0123",
        "2125550123",
        "12125550123",
    ];

    #[test]
    fn national_numbers_of_other_countries_where_announced() {
        let told = |text: &str| find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Phone as u8)).unwrap();
        for text in NATIONAL {
            assert_eq!(told(text), Some(text.len()), "{text}");
            let unannounced = find(&Candidate::whole(text.as_bytes()), Said::default).unwrap();
            // The four pairs behind a code count by themselves.
            assert_eq!(unannounced, None, "{text}");
        }
        for (text, number) in [
            ("070-123 45 67 12 stk", "070-123 45 67"),
            ("031-12 34 56 123 stk", "031-12 34 56"),
            ("08-123 456 78, 0150 Oslo", "08-123 456 78"),
            ("98 76 54 32 0150 Oslo", "98 76 54 32"),
            ("030 1234567 ab 2026", "030 1234567"),
            ("(212) 555-0123 12345", "(212) 555-0123"),
        ] {
            assert_eq!(told(text), Some(number.len()), "{text}");
        }
        for text in [
            "01.02.2026",
            "01-02-2026",
            "09.00-15.00",
            "2026-01-02",
            "2010-2012",
            "98765432 kr",
            "98765432,-",
            "(98765432)",
            "1125550123",
            "2121550123",
            "98765432.5",
            "01234",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
