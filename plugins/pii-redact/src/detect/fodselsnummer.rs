//! Fødselsnummer, D-number and H-number: eleven digits, `DDMMYY` and five more, with two check digits.
//!
//! Both rules of Skatteetaten are known: the one in force, and the one for numbers issued from 2032 on, where the first
//! check digit may leave a remainder of 0 to 3. Synthetic numbers (Tenor adds 80 to the month, NAV 40) count as well: test
//! data in production logs is as bad a habit, and the H-number of the health services adds 40 itself.

use super::{Candidate, Verdict, mod11};

const FIRST_WEIGHTS: [u32; 10] = [3, 7, 6, 1, 8, 9, 4, 5, 2, 1];
const SECOND_WEIGHTS: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// Which check-digit rules a number satisfies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The rule in force since 1967; such a number satisfies the new rule too.
    Current,
    /// Only the rule for numbers issued from 2032 on.
    From2032,
}

/// The length of a number that starts here, and the rule that it satisfies. A space or hyphen may follow the date, which may
/// be written with dots, slashes, hyphens or spaces, and a space the three digits behind it: `020132 99997`,
/// `02.01.32 99997`, `020132 999 97`.
pub fn find(candidate: &Candidate<'_>) -> Result<Option<(usize, Rule)>, super::NeedMore> {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let mut digits = [0; 11];
    if !candidate.digits(0, &mut digits[..2])? {
        return Ok(None);
    }
    let sign = candidate.at(2)?.filter(|byte| matches!(byte, b'.' | b' ' | b'-' | b'/'));
    let parted = usize::from(sign.is_some());
    if !candidate.digits(2 + parted, &mut digits[2..4])?
        || sign.is_some() && candidate.at(5)? != sign
        || !candidate.digits(4 + 2 * parted, &mut digits[4..6])?
        || !is_date(&digits)
    {
        return Ok(None);
    }
    let date = 6 + 2 * parted;
    let gap = usize::from(matches!(candidate.at(date)?, Some(b' ' | b'-')));
    if gap < parted || !candidate.digits(date + gap, &mut digits[6..9])? {
        return Ok(None);
    }
    let behind = date + gap + 3;
    let second = usize::from(gap == 1 && candidate.at(behind)? == Some(b' '));
    let end = behind + second + 2;
    if !candidate.digits(behind + second, &mut digits[9..])? || !candidate.number_may_end(end)? {
        return Ok(None);
    }
    Ok(rule_of(&digits).map(|rule| (end, rule)))
}

/// As [`find`], with either rule.
pub fn find_any(candidate: &Candidate<'_>) -> Verdict {
    Ok(find(candidate)?.map(|(length, _)| length))
}

/// The rule that eleven digits satisfy, dates and check digits taken together.
pub fn rule_of(digits: &[u8; 11]) -> Option<Rule> {
    // Nobody's, but a round number that may be anything.
    let round = digits[6..] == [0; 5];
    if round || !is_date(digits) || mod11(digits, &SECOND_WEIGHTS) != 0 {
        return None;
    }
    match mod11(digits, &FIRST_WEIGHTS) {
        0 => Some(Rule::Current),
        1..=3 => Some(Rule::From2032),
        _ => None,
    }
}

/// The eleven digits that a number of ten has lost its leading zero from: how systems write them that take them for
/// amounts. Of ten-digit numbers 0.1 % pass by the current rule. Months with a marker don't count here: times in seconds
/// would look like them.
pub fn with_lost_zero(number: &[u8]) -> Option<([u8; 11], Rule)> {
    let mut text = [b'0'; 11];
    if number.len() != 10 || number[0] == b'0' || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text[1..].copy_from_slice(number);
    let digits = text.map(|byte| byte - b'0');
    let unmarked = digits[2] <= 1;
    rule_of(&digits).filter(|_| unmarked).map(|rule| (text, rule))
}

/// A day and month that exist, after the markers of D-, H- and synthetic numbers are taken off. The year says too little:
/// its century depends on digits whose meaning the new rule gives up.
fn is_date(digits: &[u8; 11]) -> bool {
    let day = (digits[0] % 4) * 10 + digits[1];
    let month = match digits[2] * 10 + digits[3] {
        month @ 1..=12 => month,
        month @ 41..=52 => month - 40,
        month @ 81..=92 => month - 80,
        _ => return false,
    };
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    digits[0] <= 7 && (1..=longest).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Option<Rule> {
        find(&Candidate::whole(text.as_bytes())).unwrap().map(|(_, rule)| rule)
    }

    #[test]
    fn a_lost_zero_is_put_back_only_where_a_day_and_month_follow() {
        assert_eq!(with_lost_zero(b"2013299997"), Some((*b"02013299997", Rule::Current)));
        for text in ["2013299998", "02013299997", "213299997", "0201329999", "201329999a"] {
            assert_eq!(with_lost_zero(text.as_bytes()), None, "{text}");
        }
        // As many as would pass if every time in seconds of some years were a synthetic number.
        let times = (1_410_000_000_u64..1_410_100_000).chain(1_810_000_000..1_810_100_000);
        assert!(times.into_iter().all(|time| with_lost_zero(time.to_string().as_bytes()).is_none()));
    }

    /// Makes the number with the given nine digits under the current rule, where there is one.
    fn with_check_digits(nine: [u8; 9]) -> Option<[u8; 11]> {
        let mut digits = [0; 11];
        digits[..9].copy_from_slice(&nine);
        digits[9] = ((11 - mod11(&digits[..9], &FIRST_WEIGHTS)) % 11) as u8;
        digits[10] = ((11 - mod11(&digits[..10], &SECOND_WEIGHTS)) % 11) as u8;
        (digits[9] < 10 && digits[10] < 10).then_some(digits)
    }

    #[test]
    fn published_vectors_of_both_rules() {
        assert_eq!(rule("02013299997"), Some(Rule::Current));
        assert_eq!(rule("30108299920"), Some(Rule::Current));
        assert_eq!(rule("02013299903"), Some(Rule::From2032));
        assert_eq!(rule("30108299939"), Some(Rule::From2032));
    }

    #[test]
    fn every_kind_of_number_is_known_by_its_date() {
        for date in [[0, 1, 0, 1, 8, 0], [4, 1, 0, 1, 8, 0], [0, 1, 4, 1, 8, 0], [0, 1, 8, 1, 8, 0], [7, 1, 9, 2, 8, 0]]
        {
            let made = (0..100).find_map(|tail| {
                with_check_digits([date[0], date[1], date[2], date[3], date[4], date[5], 1, tail / 10, tail % 10])
            });
            assert_eq!(rule_of(&made.unwrap()), Some(Rule::Current), "{date:?}");
        }
    }

    #[test]
    fn impossible_dates_and_wrong_digits_are_refused() {
        for (index, _) in "02013299997".char_indices() {
            let mut text = b"02013299997".to_vec();
            text[index] = b'0' + (text[index] - b'0' + 1) % 10;
            assert_ne!(rule(std::str::from_utf8(&text).unwrap()), Some(Rule::Current), "digit {index}");
        }
        assert_eq!((rule("69450000000"), rule("44830000000")), (None, None));
        // 30 February, month 13, and day 0, each with check digits that fit.
        for nine in [[3, 0, 0, 2, 8, 0, 1, 2, 3], [0, 1, 1, 3, 8, 0, 1, 2, 3], [0, 0, 0, 1, 8, 0, 1, 2, 3]] {
            for tail in 0..10 {
                let mut nine = nine;
                nine[8] = tail;
                if let Some(digits) = with_check_digits(nine) {
                    assert_eq!(rule_of(&digits), None, "{digits:?}");
                }
            }
        }
    }

    #[test]
    fn a_space_after_the_date_and_borders() {
        assert_eq!(find_any(&Candidate::whole(b"020132 99997")), Ok(Some(12)));
        assert_eq!(find_any(&Candidate::whole(b"02013299997, and")), Ok(Some(11)));
        for text in [
            "020132 999 97",
            "020132-99997",
            "02.01.32 99997",
            "02.01.32-99997",
            "02/01/32 99997",
            "02-01-32 99997",
            "02 01 32 99997",
            "02 01 32 999 97",
            "02.01.32 999 97",
        ] {
            assert_eq!(find_any(&Candidate::whole(text.as_bytes())), Ok(Some(text.len())), "{text}");
        }
        for text in [
            "02.01.3299997",
            "02.0132 99997",
            "02.01-32 99997",
            "020132 9999 7",
            "02.01.1932 99997",
            "020132999 97",
            "02.01.32 99998",
        ] {
            assert_eq!(find_any(&Candidate::whole(text.as_bytes())), Ok(None), "{text}");
        }
        assert_eq!(find_any(&Candidate::whole(b"020132999970")), Ok(None));
        assert_eq!(find_any(&Candidate::whole(b"02013299997a")), Ok(None));
        assert_eq!(find_any(&Candidate::whole(b"02013299997.5")), Ok(None));
        let inside = Candidate::behind(b"1", b"02013299997");
        assert_eq!(find_any(&inside), Ok(None));
        let cut = Candidate { text: b"02013299997", complete: false, before: super::super::Before::NOTHING };
        assert_eq!(find_any(&cut), Err(super::super::NeedMore));
    }
}
