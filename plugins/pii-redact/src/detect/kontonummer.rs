//! Norwegian bank account numbers: eleven digits modulo 11, the register of the bank in the first four. They are written
//! `1234.56.78903`, with dots, spaces or hyphens; and where words announce them with spaces anywhere, or none.
//!
//! The weights are those of the second check digit of a fødselsnummer, so every one of those passes here as well: ask that
//! detector first. Of random eleven-digit strings one in eleven passes, so other forms count only where announced.
//!
//! Source: Finans Norge and Bits, "Kontonummer og modulus 11".

use super::announce::{Said, Topic};
use super::{Candidate, NeedMore, Verdict, mod11};

const WEIGHTS: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// How an account number is parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// After four and six digits, by the same sign.
    Usual(u8),
    Other,
}

/// The length of an account number that starts here. `said` is asked only where the check digit fits.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let mut digits = [0; 11];
    let Some((length, form)) = number(candidate, &mut digits)? else { return Ok(None) };
    if !is_valid(&digits) {
        return Ok(None);
    }
    let counts = match form {
        // `2024-12-12345` is the twelfth month of a year more often than a bank.
        Form::Usual(b'-') if is_month(&digits) => said().is(Topic::Account),
        // The form of an account says enough, digits alone don't.
        Form::Usual(_) => !said().denies(),
        Form::Other => said().is(Topic::Account),
    };
    Ok(counts.then_some(length))
}

/// Reads eleven digits with single separators between them.
fn number(candidate: &Candidate<'_>, digits: &mut [u8; 11]) -> Result<Option<(usize, Form)>, NeedMore> {
    let mut separators = [0; 11];
    let mut index = 0;
    for (order, digit) in digits.iter_mut().enumerate() {
        if order > 0
            && let Some(separator @ (b' ' | b'.' | b'-')) = candidate.at(index)?
        {
            separators[order] = separator;
            index += 1;
        }
        let Some(byte) = candidate.digit(index)? else { return Ok(None) };
        *digit = byte - b'0';
        index += 1;
    }
    if !candidate.number_may_end(index)? {
        return Ok(None);
    }
    let [fifth, seventh] = [separators[4], separators[6]];
    let parted = separators.iter().filter(|separator| **separator != 0).count();
    let usual = parted == 2 && fifth != 0 && fifth == seventh;
    // Dots and hyphens of any other form are those of dates and versions.
    let spaced = separators.iter().all(|separator| matches!(separator, 0 | b' '));
    Ok(match (usual, spaced) {
        (true, _) => Some((index, Form::Usual(fifth))),
        (false, true) => Some((index, Form::Other)),
        (false, false) => None,
    })
}

/// A year of these days and a month.
fn is_month(digits: &[u8; 11]) -> bool {
    matches!(digits[..2], [1, 9] | [2, 0]) && (1..=12).contains(&(digits[4] * 10 + digits[5]))
}

/// Whether the check digit fits. All zeros would, and is nobody's account.
pub fn is_valid(digits: &[u8; 11]) -> bool {
    mod11(digits, &WEIGHTS) == 0 && digits[..4] != [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Account as u8)).unwrap()
    }

    #[test]
    fn plain_dotted_and_spaced() {
        // The account in the SWIFT registry's example of a Norwegian IBAN.
        assert_eq!(length("86011117947"), Some(11));
        assert_eq!(length("8601.11.17947"), Some(13));
        assert_eq!(length("8601 11 17947."), Some(13));
        assert_eq!(length("8601-11-17947"), Some(13));
        assert_eq!(length("8601-11.17947"), None);
        assert_eq!(length("12345678903"), Some(11));
        assert_eq!(length("1234.56.78903"), Some(13));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "86011117948",
            "8601.11 17947",
            "8601  11 17947",
            "8601.1117947",
            "860111179470",
            "00000000000",
            "8601.11.17947.5",
            "8601",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
    }

    #[test]
    fn digits_alone_need_an_announcement() {
        let silent = |text: &str| find(&Candidate::whole(text.as_bytes()), Said::default).unwrap();
        assert_eq!((silent("86011117947"), silent("8601.11.17947")), (None, Some(13)));
        for text in ["8601 1117947", "860111 17947", "8601 111 7947", "86 01 11 17 94 7"] {
            assert_eq!((silent(text), length(text)), (None, Some(text.len())), "{text}");
        }
        assert_eq!((silent("2024-12-12344"), length("2024-12-12344")), (None, Some(13)));
        assert_eq!(silent("2024.12.12344"), Some(13));
        let denied = || super::super::announce::by_text(b"KID ");
        assert_eq!(find(&Candidate::whole(b"8601 11 17947"), denied), Ok(None));
    }

    #[test]
    fn a_fodselsnummer_passes_too() {
        assert_eq!(length("02013299997"), Some(11));
    }
}
