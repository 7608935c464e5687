//! Phone numbers: `+CC …` by E.164, `0047 …`, and Norwegian numbers without a country code where their grouping or the
//! words before them say that they are one.

use super::{Candidate, NeedMore, Verdict};

/// Words that announce a phone number, in lower case. The short ones count only at the start of a word.
const LONG_WORDS: [&[u8]; 6] = [b"phone", b"telefon", b"mobil", b"msisdn", b"whatsapp", b"telephone"];
const SHORT_WORDS: [&[u8]; 7] = [b"tlf", b"tel", b"mob", b"cell", b"fax", b"sms", b"ring"];

/// Whether the raw bytes before a number announce a phone number: a JSON key, a form field, or a word of prose. A number
/// in between (an earlier value) ends the announcement.
pub fn announced(before: &[u8]) -> bool {
    let start = before.windows(2).rposition(|pair| pair.iter().all(u8::is_ascii_digit)).map_or(0, |index| index + 2);
    let before = before[start..].to_ascii_lowercase();
    let has = |word: &[u8], anywhere: bool| {
        before
            .windows(word.len())
            .enumerate()
            .any(|(at, window)| window == word && (anywhere || at == 0 || !before[at - 1].is_ascii_alphabetic()))
    };
    LONG_WORDS.iter().any(|word| has(word, true)) || SHORT_WORDS.iter().any(|word| has(word, false))
}

/// The length of a phone number that starts here. `announced` is asked only where the digits alone don't tell.
pub fn find(candidate: &Candidate<'_>, announced: impl Fn() -> bool) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    match candidate.at(0)? {
        Some(b'+') => international(candidate, 1),
        Some(b'0') => {
            if candidate.at(1)? != Some(b'0') {
                return Ok(None);
            }
            // `00` starts many a number that is no phone number: only Norway's code is taken unannounced.
            let norwegian = candidate.at(2)? == Some(b'4') && candidate.at(3)? == Some(b'7');
            if norwegian || announced() { international(candidate, 2) } else { Ok(None) }
        }
        Some(b'2'..=b'9') => national(candidate, announced),
        _ => Ok(None),
    }
}

/// A country code and the rest of the number, at most 15 digits (E.164), parted by single separators.
fn international(candidate: &Candidate<'_>, start: usize) -> Verdict {
    let mut digits = [0; 16];
    let (mut count, mut index, mut end) = (0, start, start);
    // One opening parenthesis, as in `+44 (0)20 …`, may stand beside a separator.
    loop {
        match candidate.at(index)? {
            Some(byte @ b'0'..=b'9') => {
                if count == digits.len() {
                    return Ok(None);
                }
                digits[count] = byte - b'0';
                count += 1;
                index += 1;
                end = index;
            }
            Some(b' ' | b'-' | b'.' | b'(' | b')' | b'/') if count > 0 && index - end < 2 => index += 1,
            _ => break,
        }
        // Eight digits after +47 are all that a Norwegian number has; what follows in a further group isn't part of it.
        if count == 10 && digits[..2] == [4, 7] && candidate.digit(end)?.is_none() {
            break;
        }
    }
    let digits = &digits[..count];
    let plausible = match digits {
        [4, 7, first, ..] => count == 10 && *first >= 2,
        _ => (8..=15).contains(&count) && is_country_code(digits),
    };
    Ok((plausible && candidate.number_may_end(end)?).then_some(end))
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
fn national(candidate: &Candidate<'_>, announced: impl Fn() -> bool) -> Verdict {
    if let Some(end) = grouped(candidate, &[2, 2, 2, 2])? {
        return Ok(Some(end));
    }
    if let Some(end) = grouped(candidate, &[3, 2, 3])? {
        return Ok(Some(end));
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
    Ok((candidate.number_may_end(end)? && announced()).then_some(end))
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
    if !candidate.number_may_end(index)? {
        return Ok(None);
    }
    // A further group of the same kind makes it a row of numbers, not a phone number.
    let goes_on = candidate.at(index)? == Some(b' ') && candidate.digit(index + 1)?.is_some();
    Ok((!goes_on).then_some(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find(&Candidate::whole(text.as_bytes()), || false).unwrap().map(|length| &text[..length])
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
            "98 76 54 321",
            "98  76 54 32",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn bare_digits_need_an_announcement() {
        let told = |text: &str| find(&Candidate::whole(text.as_bytes()), || true).unwrap();
        assert_eq!(told("98765432"), Some(8));
        assert_eq!(told("4798765432"), Some(10));
        assert_eq!(told("987654321"), None);
        assert_eq!(told("18765432"), None);
        for before in ["\"phone\":\"", "\"mobilePhone\": ", "tlf. ", "Tel: ", "&mobil=", "ring meg på "] {
            assert!(announced(before.as_bytes()), "{before}");
        }
        for before in ["\"id\":", "hotel: ", "\"phone\":\"98765432\",\"id\":", "spring ", ""] {
            assert!(!announced(before.as_bytes()), "{before}");
        }
    }
}
