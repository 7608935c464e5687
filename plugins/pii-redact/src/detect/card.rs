//! Payment cards: 13 to 19 digits, Luhn, and an issuer range that is in use. Groups may be parted by a space or hyphen,
//! groups of four by a dot too.

use super::announce::{Said, Topic};
use super::{Candidate, Verdict};

const LONGEST: usize = 19;

/// The length of a card number that starts here. What follows in further groups (an expiry date) stays outside: the
/// longest run of whole groups that passes is the card. `said` is asked only where the digits alone don't tell.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let mut digits = [0; LONGEST];
    let (mut count, mut group, mut index) = (0, 0, 0);
    let (mut found, mut parted) = (None, None);
    while let Some(byte) = candidate.digit(index)? {
        if count == LONGEST {
            // A longer run isn't a card; a card in front of it was found at the group border before.
            break;
        }
        digits[count] = byte - b'0';
        count += 1;
        group += 1;
        index += 1;
        let separator = match candidate.at(index)? {
            Some(b'0'..=b'9') => continue,
            Some(byte @ (b' ' | b'-')) => Some(byte),
            Some(b'.') if group == 4 && count < 16 && candidate.digit(index + 1)?.is_some() => Some(b'.'),
            _ => None,
        };
        let ends = separator.is_some_and(|byte| byte != b'.') || candidate.number_may_end(index)?;
        if ends && is_card(candidate, &digits[..count], count > group, &said) {
            found = Some(index);
        }
        // Groups of a card have three digits or more, and the same sign between them; anything else is the end.
        let goes_on = group >= 3 && (count > group || group >= 4) && parted.is_none_or(|sign| separator == Some(sign));
        if separator.is_none() || !goes_on {
            break;
        }
        parted = separator;
        group = 0;
        index += 1;
    }
    Ok(found)
}

fn is_card(candidate: &Candidate<'_>, digits: &[u8], grouped: bool, said: impl Fn() -> Said) -> bool {
    if !is_issued(digits) || !luhn(digits) {
        return false;
    }
    let before = |index| candidate.before.at(index);
    // `blk_-1608999687919862906`: numbers of 64 bits.
    let block = digits.len() == LONGEST && (before(0) == b'_' || before(0) == b'-' && before(1) == b'_');
    // The rest of a longer chain: `INV-4111-1111-1111-1111`.
    let chained = grouped && before(0) == b'-' && (before(1).is_ascii_digit() || before(1).is_ascii_uppercase());
    let said = said();
    if block || chained || !is_common(digits) { said.is(Topic::Card) } else { grouped || !said.denies() }
}

/// Whether cards of this issuer have this length nearly always. Thirteen digits are far more often an article number
/// (EAN-13), 17 and 18 a payment reference (KID) or a pallet (SSCC, GS1 General Specifications section 2.2.1); and the
/// others that some issuers may use and hardly do, any number.
fn is_common(digits: &[u8]) -> bool {
    match digits.len() {
        14 => digits[0] == 3,
        15 => matches!(digits[..2], [3, 4 | 7]),
        16 | 19 => true,
        _ => false,
    }
}

/// Luhn's check (ISO/IEC 7812-1).
pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| {
            let digit = u32::from(digit);
            if index % 2 == 0 { digit } else { digit * 2 - if digit > 4 { 9 } else { 0 } }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a scheme issues numbers of this length in this range.
fn is_issued(digits: &[u8]) -> bool {
    if digits.len() < 13 {
        return false;
    }
    let prefix = digits[..4].iter().fold(0, |number, &digit| number * 10 + u32::from(digit));
    match (prefix, digits.len()) {
        (4000..=4999, 13 | 16 | 19) => true,                               // Visa
        (5100..=5599 | 2221..=2720, 16) => true,                           // Mastercard
        (3400..=3499 | 3700..=3799, 15) => true,                           // American Express
        (3000..=3059 | 3095 | 3600..=3699 | 3800..=3999, 14..=19) => true, // Diners Club
        (3528..=3589, 16..=19) => true,                                    // JCB
        (2200..=2204, 16..=19) => true,                                    // Mir
        (5000..=5099 | 5600..=5899, 13..=19) => true,                      // Maestro, Dankort, Verve
        (6000..=6999, 13..=19) => true,                                    // Discover, UnionPay, RuPay, Maestro
        (8100..=8299, 16..=19) => true,                                    // RuPay, UnionPay
        (9792, 16) => true,                                                // Troy
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        find(&Candidate::whole(text.as_bytes()), Said::default).unwrap()
    }

    #[test]
    fn test_numbers_of_the_schemes() {
        // As Stripe, Adyen and PayPal list them for tests.
        for text in [
            "4111111111111111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "371449635398431",
            "30569309025904",
            "38520000023237",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "5019717010103742",
            "2200000000000004",
        ] {
            assert_eq!(length(text), Some(text.len()), "{text}");
        }
    }

    #[test]
    fn groups() {
        assert_eq!(length("4111 1111 1111 1111"), Some(19));
        assert_eq!(length("4111-1111-1111-1111"), Some(19));
        assert_eq!(length("4111.1111.1111.1111"), Some(19));
        assert_eq!(length("4111.1111.1111.1111. Hei"), Some(19));
        assert_eq!(length("4111.1111.1111.1111.5"), None);
        assert_eq!(length("41111111.11111111"), None);
        assert_eq!(length("3782 822463 10005"), Some(17));
        assert_eq!(length("4111 1111 1111 1111 12/27"), Some(19));
        assert_eq!(length("4111 1111 1111 1111 123"), Some(19));
        assert_eq!(length("4111111111111111."), Some(16));
    }

    #[test]
    fn thirteen_digits_are_an_article_unless_a_card_is_announced() {
        let announced =
            |text: &str| find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Card as u8)).unwrap();
        for text in ["4222222222222", "6291041500213", "5901234123457"] {
            assert_eq!(length(text), None, "{text}");
        }
        assert_eq!(announced("4222222222222"), Some(13));
        assert_eq!(announced("4222222222223"), None);
    }

    #[test]
    fn references_pallets_and_blocks_are_no_cards_unless_one_is_announced() {
        let announced = || Said::of_bits(Topic::Card as u8);
        for (before, text) in [
            ("", "60000000000000004"),
            ("", "600000000000000007"),
            ("blk_", "6000000000000000004"),
            ("blk_-", "6000000000000000004"),
        ] {
            let digits: Vec<u8> = text.bytes().map(|byte| byte - b'0').collect();
            assert!(luhn(&digits) && is_issued(&digits), "{text}");
            let candidate = Candidate::behind(before.as_bytes(), text.as_bytes());
            assert_eq!(find(&candidate, Said::default), Ok(None), "{text}");
            assert_eq!(find(&candidate, announced), Ok(Some(text.len())), "{text}");
        }
        assert_eq!(length("6000000000000000004"), Some(19));
        let reference = || super::super::announce::by_text(b"KID: ");
        assert_eq!(find(&Candidate::whole(b"4111111111111111"), reference), Ok(None));
        assert_eq!(find(&Candidate::whole(b"4111 1111 1111 1111"), reference), Ok(Some(19)));
    }

    #[test]
    fn rare_lengths_and_the_rest_of_a_chain_need_an_announcement() {
        let announced = || Said::of_bits(Topic::Card as u8);
        for before in [".", "-.", "0 .", "1c."] {
            assert_eq!(
                find(&Candidate::behind(before.as_bytes(), b"4111 1111 1111 1111"), announced),
                Ok(None),
                "{before}"
            );
        }
        assert_eq!(find(&Candidate::behind(b"kort.", b"4111 1111 1111 1111"), announced), Ok(Some(19)));
        for (before, text) in [
            ("", "67280421310721"),
            ("1125-", "4111 1111 1111 1111"),
            ("INV-", "4111-1111-1111-1111"),
            ("", "6304000000000000000"),
        ] {
            let candidate = Candidate::behind(before.as_bytes(), text.as_bytes());
            let common = text.len() == LONGEST && before.is_empty();
            assert_eq!(find(&candidate, Said::default), Ok(common.then_some(text.len())), "{text}");
            assert_eq!(find(&candidate, announced), Ok(Some(text.len())), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "4111 1111-1111 1111",
            "4111111111111112",
            "41111111111111110",
            "4111111111111111a",
            "411111111111",
            "1111111111111117",
            "4111  1111 1111 1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "00000000000000000000000",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
    }
}
