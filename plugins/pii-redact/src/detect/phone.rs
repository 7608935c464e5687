//! Phone numbers: `+CC …` by E.164, `0047 …`, and Norwegian numbers without a country code where their grouping or the
//! words before them say that they are one.

use super::announce::{Said, Topic};
use super::{Candidate, NeedMore, Verdict, is_alphanumeric, surroundings};

/// Digits of the longest number (E.164).
const LONGEST: usize = 15;
/// Nobody splits a number before so many digits and writes on after them.
const LONG_GROUP: usize = 7;
/// Words before an extension, the longest first.
const EXTENSIONS: [&str; 7] = ["extension", "anknytning", "linje", "ext", "int", "x", "#"];
const LONGEST_EXTENSION: usize = 5;

/// The length of a phone number that starts here. `said` is asked only where the digits alone don't tell.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let Some(end) = number(candidate, said)? else { return Ok(None) };
    Ok(extension(candidate, end)?.or(Some(end)))
}

/// The length of the number itself.
fn number(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    match candidate.at(0)? {
        Some(b'+') => international(candidate, 1),
        Some(b'0') => {
            if candidate.at(1)? != Some(b'0') {
                return Ok(None);
            }
            // `00` starts many a number that is no phone number: only Norway's code is taken unannounced.
            let norwegian = candidate.at(2)? == Some(b'4') && candidate.at(3)? == Some(b'7');
            if norwegian || said().is(Topic::Phone) { international(candidate, 2) } else { Ok(None) }
        }
        Some(b'2'..=b'9') => national(candidate, said),
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

/// Whether a number may end before `index`: where others may, or before an extension.
fn may_end(candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
    Ok(candidate.number_may_end(index)? || extension(candidate, index)?.is_some())
}

/// A country code and the rest of the number, in groups parted by single separators. E.164 allows 15 digits; what follows
/// in further groups (a date, an amount) stays outside: the number ends with the last group that leaves it plausible, and
/// no later than its country's numbers do.
fn international(candidate: &Candidate<'_>, start: usize) -> Verdict {
    let mut digits = [0; LONGEST];
    let (mut count, mut index, mut found) = (0, start, None);
    // A parenthesis, as in `+(47) …` and `+44 (0)20 …`, may stand beside a separator.
    if candidate.at(index)? == Some(b'(') {
        index += 1;
    }
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
        } else if is_plausible(&digits[..count]) {
            found = Some(index);
            // A long group is the whole rest of the number.
            if length >= LONG_GROUP || fixed_length(&digits) == Some(count) {
                return Ok(found);
            }
        }
        let mut separators = 0;
        while separators < 2 && matches!(candidate.at(index)?, Some(b' ' | b'-' | b'.' | b'(' | b')' | b'/')) {
            separators += 1;
            index += 1;
        }
        if separators == 0 {
            return Ok(found);
        }
    }
}

fn is_plausible(digits: &[u8]) -> bool {
    match digits {
        [4, 7, first, ..] => digits.len() == 10 && *first >= 2,
        _ => (8..=LONGEST).contains(&digits.len()) && is_country_code(digits),
    }
}

/// The digits of all numbers of a country, its code included, where they all have the same.
fn fixed_length(digits: &[u8; LONGEST]) -> Option<usize> {
    match digits {
        [1 | 7, ..] | [3, 1 | 3 | 4, ..] | [4, 8, ..] => Some(11),
        [4, 5 | 7, ..] => Some(10),
        _ => None,
    }
}

/// Whether an assigned country code starts the number (ITU-T E.164 assignments, by zone).
fn is_country_code(digits: &[u8]) -> bool {
    #[expect(clippy::match_like_matches_macro, reason = "one line per world numbering zone")]
    match (digits[0], digits[1], digits[2]) {
        (1 | 7, _, _) => true,
        (2, 0 | 7, _) | (2, 1..=6 | 9, _) => true,
        (3, 0..=4 | 6 | 9, _) | (3, 5 | 7 | 8, _) => true,
        (4, 0 | 1 | 3..=9, _) | (4, 2, 0 | 1 | 3) => true,
        (5, 1..=8, _) | (5, 0 | 9, _) => true,
        (6, 0..=6, _) | (6, 7..=9, _) => true,
        (8, 1 | 2 | 4 | 6, _)
        | (8, 0, 0 | 8)
        | (8, 5, 0 | 2 | 3 | 5 | 6)
        | (8, 7, 0 | 8)
        | (8, 8, 0 | 1 | 2 | 3 | 6) => true,
        (9, 0..=5 | 8, _) | (9, 6 | 7 | 9, _) => true,
        _ => false,
    }
}

/// Eight digits: `98 76 54 32` and `987 65 432` by their grouping, anything else where the text announces it.
fn national(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    for groups in [&[2, 2, 2, 2][..], &[3, 2, 3]] {
        if let Some(end) = grouped(candidate, groups)? {
            let said = said();
            let row = || surroundings::in_row(candidate, end, groups[0], groups[groups.len() - 1]);
            let counts = said.is(Topic::Phone) || !said.denies() && !row()?;
            return Ok(counts.then_some(end));
        }
    }
    let mut digits = [0; 8];
    if !candidate.digits(0, &mut digits)? {
        return Ok(None);
    }
    // Ten digits with the country code and without its sign: what is left of `+47…` in a form that wasn't encoded.
    let end = match (&digits[..3], candidate.digit(8)?, candidate.digit(9)?) {
        ([4, 7, 2..=9], Some(_), Some(_)) => 10,
        (_, None, _) => 8,
        _ => return Ok(None),
    };
    let counts = may_end(candidate, end)? && !surroundings::is_coordinate(candidate) && said().is(Topic::Phone);
    Ok(counts.then_some(end))
}

/// Groups of digits, a single space between them.
fn grouped(candidate: &Candidate<'_>, groups: &[usize]) -> Result<Option<usize>, NeedMore> {
    let mut index = 0;
    for (order, &group) in groups.iter().enumerate() {
        if order > 0 {
            if candidate.at(index)? != Some(b' ') {
                return Ok(None);
            }
            index += 1;
        }
        for _ in 0..group {
            if candidate.digit(index)?.is_none() {
                return Ok(None);
            }
            index += 1;
        }
    }
    Ok(may_end(candidate, index)?.then_some(index))
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
            "+46 8 123 456 78",
            "+1 (212) 555-0123",
            "+44 20 7946 0958",
            "+442079460958",
            "+358 40 1234567",
            "98 76 54 32",
            "987 65 432",
        ] {
            assert_eq!(found(text), Some(text));
        }
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
}
