//! Norwegian bank account numbers: eleven digits modulo 11, plain or as `1234.56.78903`, with
//! dots, spaces or hyphens.
//!
//! The weights are those of the second check digit of a fødselsnummer, so every one of those passes here as well: ask that
//! detector first. Of random eleven-digit strings one in eleven passes, so plain ones count only where words announce an
//! account.

use super::announce::{Said, Topic};
use super::{Candidate, Verdict, mod11};

const WEIGHTS: [u32; 11] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// The length of an account number that starts here. `said` is asked only where the check digit fits.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let mut digits = [0; 11];
    if !candidate.digits(0, &mut digits[..4])? {
        return Ok(None);
    }
    let separator = candidate.at(4)?.filter(|byte| matches!(byte, b'.' | b' ' | b'-'));
    let gap = usize::from(separator.is_some());
    if !candidate.digits(4 + gap, &mut digits[4..6])? {
        return Ok(None);
    }
    if separator.is_some() && candidate.at(7)? != separator {
        return Ok(None);
    }
    let length = 11 + 2 * gap;
    if !candidate.digits(6 + 2 * gap, &mut digits[6..])? || !candidate.number_may_end(length)? {
        return Ok(None);
    }
    // The form of an account says enough, digits alone don't.
    let counts = || if separator.is_some() { !said().denies() } else { said().is(Topic::Account) };
    Ok((is_valid(&digits) && counts()).then_some(length))
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
        for text in
            ["86011117948", "8601.11 17947", "8601.1117947", "860111179470", "00000000000", "8601.11.17947.5", "8601"]
        {
            assert_eq!(length(text), None, "{text}");
        }
    }

    #[test]
    fn digits_alone_need_an_announcement() {
        let silent = |text: &str| find(&Candidate::whole(text.as_bytes()), Said::default).unwrap();
        assert_eq!((silent("86011117947"), silent("8601.11.17947")), (None, Some(13)));
        let denied = || super::super::announce::by_text(b"KID ");
        assert_eq!(find(&Candidate::whole(b"8601 11 17947"), denied), Ok(None));
    }

    #[test]
    fn a_fodselsnummer_passes_too() {
        assert_eq!(length("02013299997"), Some(11));
    }
}
