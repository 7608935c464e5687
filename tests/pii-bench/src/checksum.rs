//! Check digits, written from the published rules and not from the detectors, so that one is tested by the other.
//!
//! Sources: ISO/IEC 7812-1 annex B (Luhn); ISO/IEC 7064 and ISO 13616-1 (modulo 97-10); Skatteetaten, "Fødselsnummer" and
//! "Nytt fødselsnummer fra 2032"; Brønnøysundregistrene, "Organisasjonsnummeret"; Cpr-kontoret, "Personnummeret i
//! CPR-systemet"; Digital and Population Data Services Agency of Finland, "The personal identity code"; Finnish Tax
//! Administration, check of business IDs.

/// Check characters of a Finnish henkilötunnus, by the remainder modulo 31.
const HETU: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// The digits of a text, everything else left out.
pub(crate) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|character| character.to_digit(10)).collect()
}

/// Luhn's check digit for the digits before it.
pub(crate) fn luhn(digits: &[u32]) -> u32 {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let from_right = digits.iter().rev().enumerate();
    let sum: u32 = from_right.map(|(place, &digit)| if place % 2 == 0 { doubled(digit) } else { digit }).sum();
    (10 - sum % 10) % 10
}

/// The sum of the digits, each times its weight, modulo 11.
pub(crate) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum::<u32>() % 11
}

/// The check digit that makes the weighted sum a multiple of 11; `None` where it would have to be 10.
pub(crate) fn mod11(digits: &[u32], weights: &[u32]) -> Option<u32> {
    match (11 - weighted(digits, weights)) % 11 {
        10 => None,
        digit => Some(digit),
    }
}

/// The two check digits of an IBAN, over the country and the BBAN.
pub(crate) fn iban(country: &str, bban: &str) -> u32 {
    98 - modulo_97(&format!("{bban}{country}00"))
}

/// The remainder of an IBAN that was turned round, letters counting as 10 to 35.
pub(crate) fn modulo_97(turned: &str) -> u32 {
    turned.chars().filter_map(|character| character.to_digit(36)).fold(0, |rest, number| {
        let shift = if number > 9 { 100 } else { 10 };
        (rest * shift + number) % 97
    })
}

/// The check digits of nine digits of a fødselsnummer; `relaxed` is what is added to the remainder of the first, which
/// may be up to 3 from 2032 on. `None` where there are none.
pub(crate) fn fodselsnummer(nine: &[u32], relaxed: u32) -> Option<[u32; 2]> {
    const FIRST: [u32; 9] = [3, 7, 6, 1, 8, 9, 4, 5, 2];
    const SECOND: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    let first = (11 - weighted(nine, &FIRST) + relaxed) % 11;
    if first > 9 {
        return None;
    }
    let ten: Vec<u32> = nine.iter().copied().chain([first]).collect();
    Some([first, mod11(&ten, &SECOND)?])
}

/// The check character of a henkilötunnus, over the date and the individual number.
pub(crate) fn hetu(nine: &[u32]) -> char {
    let number = nine.iter().fold(0_usize, |number, &digit| number * 10 + digit as usize);
    char::from(HETU[number % 31])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards() {
        // Test numbers that Visa, Mastercard and American Express publish for their sandboxes.
        for number in ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117"] {
            let digits = digits(number);
            let (check, rest) = digits.split_last().unwrap();
            assert_eq!(luhn(rest), *check, "{number}");
        }
        // Skatteverket SKV 704: 811218-9876.
        assert_eq!(luhn(&digits("811218987")), 6);
    }

    #[test]
    fn ibans() {
        // The examples of the SWIFT IBAN registry.
        for example in
            ["NO9386011117947", "GB29NWBK60161331926819", "DE89370400440532013000", "SE4550000000058398257466"]
        {
            let (country, rest) = example.split_at(2);
            let (check, bban) = rest.split_at(2);
            assert_eq!(format!("{:02}", iban(country, bban)), check, "{example}");
        }
    }

    #[test]
    fn national_numbers() {
        // Digital and Population Data Services Agency: 131052-308T.
        assert_eq!(hetu(&digits("131052308")), 'T');
        // Brønnøysundregistrene's own number: 974 760 673.
        assert_eq!(mod11(&digits("97476067"), &[3, 2, 7, 6, 5, 4, 3, 2]), Some(3));
        // The Finnish Tax Administration's example: 0737546-2.
        assert_eq!(mod11(&digits("0737546"), &[7, 9, 10, 5, 8, 4, 2]), Some(2));
        // Erhvervsstyrelsen's example: 13585628.
        assert_eq!(mod11(&digits("1358562"), &[2, 7, 6, 5, 4, 3, 2]), Some(8));
        // The account of NO93 8601 1117 947, in the SWIFT IBAN registry.
        assert_eq!(mod11(&digits("8601111794"), &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]), Some(7));
    }

    #[test]
    fn fodselsnummer_by_both_rules() {
        // 30108299920 and 02013299997 of the detector's vectors, which belong to nobody.
        assert_eq!(fodselsnummer(&digits("301082999"), 0), Some([2, 0]));
        assert_eq!(fodselsnummer(&digits("020132999"), 0), Some([9, 7]));
    }
}
