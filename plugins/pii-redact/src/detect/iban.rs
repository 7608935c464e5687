//! IBAN (ISO 13616): country, two check digits, a length per country, modulo 97. Groups may be parted by spaces or hyphens.
//!
//! Source: SWIFT, "IBAN Registry", release 99.

use super::{Candidate, Verdict, is_alphanumeric};

/// Countries and the length of their numbers, from the SWIFT registry.
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Countries whose numbers have digits alone behind the country.
const NUMERIC: [&[u8; 2]; 26] = [
    b"AT", b"BA", b"BE", b"CZ", b"DE", b"DK", b"EE", b"ES", b"FI", b"FO", b"GL", b"HR", b"HU", b"IL", b"IS", b"LT",
    b"ME", b"MN", b"NO", b"PL", b"PT", b"RS", b"SE", b"SI", b"SK", b"XK",
];

/// Whether letters before digits may begin an IBAN: a country's, alone or behind `IBAN`.
pub fn may_be_country(letters: &[u8]) -> bool {
    let country = match letters {
        [one, other] | [_, _, _, _, one, other] => [one.to_ascii_uppercase(), other.to_ascii_uppercase()],
        _ => return false,
    };
    length_of(&country).is_some()
}

/// How long the numbers of a country are.
fn length_of(country: &[u8; 2]) -> Option<usize> {
    let index = LENGTHS.binary_search_by_key(&country, |(code, _)| *code).ok()?;
    Some(LENGTHS[index].1)
}

/// The length of an IBAN that starts here, separators included.
pub fn find(candidate: &Candidate<'_>) -> Verdict {
    if candidate.before.is_letter() {
        return Ok(None);
    }
    // The word may be written together with the number.
    let mut word = 0;
    while word < 4 && candidate.at(word)?.is_some_and(|byte| byte.eq_ignore_ascii_case(&b"IBAN"[word])) {
        word += 1;
    }
    if word < 4 {
        return number(candidate);
    }
    let behind = Candidate { text: &candidate.text[word..], ..*candidate };
    Ok(number(&behind)?.map(|length| word + length))
}

/// The length of the number itself.
fn number(candidate: &Candidate<'_>) -> Verdict {
    // Of words hardly any has digits here.
    if candidate.digit(2)?.is_none() || candidate.digit(3)?.is_none() {
        return Ok(None);
    }
    let (Some(first), Some(second)) = (candidate.at(0)?, candidate.at(1)?) else { return Ok(None) };
    let country = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    let Some(length) = length_of(&country) else { return Ok(None) };
    let mut number = [0; 34];
    let (mut count, mut index) = (0, 0);
    while count < length {
        match candidate.at(index)? {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                number[count] = byte.to_ascii_uppercase();
                count += 1;
            }
            Some(b' ') if candidate.at(index + 1)?.is_some_and(|byte| byte.is_ascii_alphanumeric()) => {}
            // Other hyphens are those of identifiers.
            Some(b'-')
                if count % 4 == 0 && candidate.at(index + 1)?.is_some_and(|byte| byte.is_ascii_alphanumeric()) => {}
            _ => return Ok(None),
        }
        index += 1;
    }
    if candidate.at(index)?.is_some_and(is_alphanumeric) {
        return Ok(None);
    }
    let number = &number[..length];
    let numeric = !NUMERIC.contains(&&country) || number[4..].iter().all(u8::is_ascii_digit);
    // Check digits are what is left to 98, so these three are never given (ISO 7064).
    let given = !matches!(&number[2..4], b"00" | b"01" | b"99");
    Ok((numeric && given && mod97(number) == 1).then_some(index))
}

/// ISO 7064 modulo 97-10, over the number with its first four characters moved to the end.
fn mod97(number: &[u8]) -> u32 {
    number[4..].iter().chain(&number[..4]).fold(0, |rest, &byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        find(&Candidate::whole(text.as_bytes())).unwrap()
    }

    #[test]
    fn registry_examples() {
        for text in [
            "NO9386011117947",
            "no9386011117947",
            "NO93 8601 1117 947",
            "GB29 NWBK 6016 1331 9268 19",
            "DE89370400440532013000",
            "MT84MALT011000012345MTLCAST001S",
            "SE4550000000058398257466",
            "DK5000400440116243",
            "FR1420041010050500013M02606",
            "NO93-8601-1117-947",
            "gb29 nwbk 6016 1331 9268 19",
        ] {
            assert_eq!(length(text), Some(text.len()), "{text}");
        }
        assert_eq!(length("NO93 8601 1117 947 takk"), Some(18));
        assert_eq!(length("NO9386011117947."), Some(15));
        assert_eq!(length("IBANNO9386011117947"), Some(19));
        assert_eq!(length("ibanNO93 8601 1117 947"), Some(22));
        assert_eq!(length("IBANXNO9386011117947"), None);
        assert_eq!(length("IBNO9386011117947"), None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "NO9386011117948",
            "NO93860111179470",
            "NO938601111794",
            "XX9386011117947",
            "NO93  86011117947",
            "NOT93",
            "NO9386011117947ø",
            "NO93--86011117947",
            "NO93-860111-17947",
        ] {
            assert_eq!(length(text), None, "{text}");
        }
        let inside = Candidate::behind(b"A", b"NO9386011117947");
        assert_eq!(find(&inside), Ok(None));
    }

    #[test]
    fn the_longest_fits() {
        assert!(LENGTHS.iter().all(|&(_, length)| length <= 34));
        assert!(LENGTHS.is_sorted_by_key(|(country, _)| *country));
        assert!(may_be_country(b"no") && may_be_country(b"ibanNO") && !may_be_country(b"xx"));
    }
}
