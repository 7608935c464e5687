//! Numbers of organisations, which name a person where that is the business. They count only where words announce them:
//! Norwegian organisasjonsnummer, Swedish organisationsnummer, Danish CVR number, Finnish Y-tunnus.
//!
//! Sources: Brønnøysundregistrene, "Organisasjonsnummeret" (modulo 11); Skatteverket SKV 709 (Luhn); Erhvervsstyrelsen,
//! "Modulus 11-kontrol"; the Finnish tax administration's check of business IDs (modulo 11).

use super::announce::{Said, Topic};
use super::{Candidate, NeedMore, Verdict, card, mod11};

const TAXED: &[u8; 4] = b" MVA";
const NORWEGIAN: [u32; 9] = [3, 2, 7, 6, 5, 4, 3, 2, 1];
const DANISH: [u32; 8] = [2, 7, 6, 5, 4, 3, 2, 1];
const FINNISH: [u32; 8] = [7, 9, 10, 5, 8, 4, 2, 1];

/// Groups of digits, what parts them, and the check.
type Form = (&'static [usize], u8, fn(&[u8]) -> bool);

const FORMS: [Form; 7] = [
    (&[9], b' ', norwegian),
    (&[3, 3, 3], b' ', norwegian),
    (&[6, 4], b'-', swedish),
    (&[10], b' ', swedish),
    (&[8], b' ', danish),
    (&[2, 2, 2, 2], b' ', danish),
    (&[7, 1], b'-', finnish),
];
const LONGEST: usize = 10;

/// The length of a number that starts here. `said` is asked only where the check digit fits.
pub fn find(candidate: &Candidate<'_>, said: impl Fn() -> Said) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    let mut first = 0;
    while first <= LONGEST && candidate.digit(first)?.is_some() {
        first += 1;
    }
    for (groups, separator, fits) in FORMS.iter().filter(|(groups, ..)| groups[0] == first) {
        let mut digits = [0; 10];
        let Some((end, count)) = grouped(candidate, groups, *separator, &mut digits)? else { continue };
        if fits(&digits[..count]) {
            // Norwegian firms write these letters behind their number where they charge value added tax.
            let taxed = count == 9
                && (0..TAXED.len())
                    .try_fold(true, |taxed, index| Ok(taxed && candidate.at(end + index)? == Some(TAXED[index])))?;
            return Ok((taxed || said().is(Topic::Organisation)).then_some(end));
        }
    }
    Ok(None)
}

/// Reads groups of digits with single separators; gives the end, and how many digits there are.
fn grouped(
    candidate: &Candidate<'_>,
    groups: &[usize],
    separator: u8,
    digits: &mut [u8; 10],
) -> Result<Option<(usize, usize)>, NeedMore> {
    let (mut index, mut count) = (0, 0);
    for (order, group) in groups.iter().enumerate() {
        if order > 0 {
            if candidate.at(index)? != Some(separator) {
                return Ok(None);
            }
            index += 1;
        }
        if !candidate.digits(index, &mut digits[count..count + group])? {
            return Ok(None);
        }
        index += group;
        count += group;
    }
    Ok(candidate.number_may_end(index)?.then_some((index, count)))
}

fn norwegian(digits: &[u8]) -> bool {
    matches!(digits[0], 8 | 9) && mod11(digits, &NORWEGIAN) == 0
}

/// The third digit is two or more, so that none is anybody's personnummer.
fn swedish(digits: &[u8]) -> bool {
    digits[2] >= 2 && card::luhn(digits)
}

fn danish(digits: &[u8]) -> bool {
    digits[0] != 0 && mod11(digits, &DANISH) == 0
}

fn finnish(digits: &[u8]) -> bool {
    mod11(digits, &FINNISH) == 0 && digits[..7] != [0; 7]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        find(&Candidate::whole(text.as_bytes()), || Said::of_bits(Topic::Organisation as u8)).unwrap()
    }

    #[test]
    fn numbers_of_all_four() {
        // Of public registers: Brønnøysundregistrene's own, Saab's, and numbers by which the Danish and Finnish checks are
        // explained.
        for text in ["974760673", "974 760 673", "556036-0793", "5560360793", "13585628", "13 58 56 28", "0737546-2"] {
            assert_eq!(length(text), Some(text.len()), "{text}");
            assert_eq!(find(&Candidate::whole(text.as_bytes()), Said::default), Ok(None), "{text}");
        }
    }

    #[test]
    fn value_added_tax_announces() {
        for (text, length) in [
            ("974 760 673 MVA", Some(11)),
            ("974760673 MVA", Some(9)),
            ("974760674 MVA", None),
            ("974760673 mva", None),
        ] {
            assert_eq!(find(&Candidate::whole(text.as_bytes()), Said::default), Ok(length), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "974760674",
            "774760673",
            "974 760673",
            "556036-0794",
            "13585629",
            "0737546-3",
            "0737546 2",
            "974760673a",
            "9747606731",
            "0000000-0",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
    }
}
