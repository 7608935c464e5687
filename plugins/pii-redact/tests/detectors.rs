//! Properties of the detectors: whatever value of a canonical form is drawn is found, whole; and a number with check digits
//! is not any more once one digit of it is another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pii_redact::detect::announce::{Said, Topic};
use pii_redact::detect::{Candidate, card, email, fodselsnummer, iban, kontonummer, nordic, organisation, phone};
use proptest::prelude::*;

const ORGANISATION: fn() -> Said = || Said::of_bits(Topic::Organisation as u8);
const IDENTITY: fn() -> Said = || Said::of_bits(Topic::Identity as u8);
const ACCOUNT: fn() -> Said = || Said::of_bits(Topic::Account as u8);
const PHONE: fn() -> Said = || Said::of_bits(Topic::Phone as u8);

type Found = Option<usize>;

/// Digits by a number, most significant first.
fn digits(number: u64, count: usize) -> Vec<u8> {
    format!("{number:0count$}").bytes().map(|byte| byte - b'0').collect()
}

fn text(digits: &[u8]) -> String {
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

/// Groups of so many digits with a separator between them.
fn grouped(digits: &str, groups: &[usize], separator: &str) -> String {
    let mut rest = digits;
    let mut parts = Vec::new();
    for group in groups {
        let (part, behind) = rest.split_at(*group);
        parts.push(part);
        rest = behind;
    }
    assert!(rest.is_empty());
    parts.join(separator)
}

/// The digit that makes a weighted sum divisible by 11, where there is one.
fn mod11_digit(digits: &[u8], weights: &[u32]) -> Option<u8> {
    let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    u8::try_from((11 - sum % 11) % 11).ok().filter(|digit| *digit < 10)
}

/// The digit that Luhn's check asks for (ISO/IEC 7812-1 annex B).
fn luhn_digit(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(*digit) * if index % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    ((10 - sum % 10) % 10) as u8
}

/// With the digit at an index replaced by another.
fn changed(digits: &[u8], index: usize, by: u8) -> Vec<u8> {
    let mut digits = digits.to_vec();
    let index = index % digits.len();
    digits[index] = (digits[index] + by) % 10;
    digits
}

fn whole(find: impl Fn(&Candidate<'_>) -> Found, text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(find(&Candidate::whole(text.as_bytes())), Some(text.len()), "{}", text);
    // Punctuation and words around it are no part of it.
    let behind = format!("{text}, x");
    prop_assert_eq!(find(&Candidate::behind(b"Hei ", behind.as_bytes())), Some(text.len()), "{}", behind);
    // Nothing is found inside it.
    prop_assert_eq!(find(&Candidate::behind(b"1", text.as_bytes())), None, "1{}", text);
    Ok(())
}

fn date() -> impl Strategy<Value = (u64, u64, u64)> {
    (1..=28_u64, 1..=12_u64, 0..=99_u64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn fodselsnummer_of_any_kind((day, month, year) in date(), marks in 0..6_usize, tail in 0..1000_u64, (at, by) in (0..11_usize, 1..10_u8)) {
        // D-numbers add 40 to the day, H-numbers 40 to the month, synthetic ones 80 or 40 (Skatteetaten).
        let (day_mark, month_mark) = [(0, 0), (40, 0), (0, 40), (0, 80), (40, 80), (40, 40)][marks];
        let mut number = digits((day + day_mark) * 10_000_000 + (month + month_mark) * 100_000 + year * 1000 + tail, 9);
        let Some(first) = mod11_digit(&number, &[3, 7, 6, 1, 8, 9, 4, 5, 2]) else { return Ok(()) };
        number.push(first);
        let Some(second) = mod11_digit(&number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) else { return Ok(()) };
        number.push(second);
        let plain = text(&number);
        let find = |candidate: &Candidate<'_>| fodselsnummer::find_any(candidate).unwrap();
        whole(find, &plain)?;
        for (groups, separator) in [(&[6, 5][..], " "), (&[6, 5], "-"), (&[6, 3, 2], " "), (&[2, 2, 2, 5], " ")] {
            whole(find, &grouped(&plain, groups, separator))?;
        }
        whole(find, &format!("{}.{}.{} {}", &plain[..2], &plain[2..4], &plain[4..6], &plain[6..]))?;
        let other = changed(&number, at, by);
        let rule = fodselsnummer::rule_of(&other.try_into().unwrap());
        prop_assert_ne!(rule, Some(fodselsnummer::Rule::Current));
    }

    #[test]
    fn accounts(number in 500_000_000_u64..10_000_000_000, (at, by) in (0..11_usize, 1..10_u8)) {
        let mut number = digits(number, 10);
        let Some(check) = mod11_digit(&number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) else { return Ok(()) };
        number.push(check);
        let plain = text(&number);
        let find = |candidate: &Candidate<'_>| kontonummer::find(candidate, ACCOUNT).unwrap();
        whole(find, &plain)?;
        for (groups, separator) in [(&[4, 2, 5][..], "."), (&[4, 2, 5], " "), (&[4, 2, 5], "-"), (&[4, 7], " "), (&[6, 5], " ")] {
            whole(find, &grouped(&plain, groups, separator))?;
        }
        prop_assert_eq!(kontonummer::find(&Candidate::whole(plain.as_bytes()), Said::default), Ok(None));
        prop_assert_eq!(find(&Candidate::whole(text(&changed(&number, at, by)).as_bytes())), None);
    }

    #[test]
    fn cards(scheme in 0..6_usize, number in 0..1_000_000_000_000_000_u64, (at, by) in (0..14_usize, 1..10_u8)) {
        let (prefix, length) = [("4", 16), ("53", 16), ("2300", 16), ("37", 15), ("6011", 16), ("36", 14)][scheme];
        let drawn = format!("{prefix}{number:015}");
        let mut number: Vec<u8> = drawn.bytes().take(length - 1).map(|byte| byte - b'0').collect();
        number.push(luhn_digit(&number));
        let plain = text(&number);
        let find = |candidate: &Candidate<'_>| card::find(candidate, Said::default).unwrap();
        whole(find, &plain)?;
        let groups: &[usize] = match length {
            16 => &[4, 4, 4, 4],
            15 => &[4, 6, 5],
            _ => &[4, 6, 4],
        };
        for separator in [" ", "-"] {
            whole(find, &grouped(&plain, groups, separator))?;
        }
        prop_assert_eq!(find(&Candidate::whole(text(&changed(&number, at, by)).as_bytes())), None);
    }

    #[test]
    fn ibans(country in 0..6_usize, number in 0..u64::MAX, (at, by) in (2..15_usize, 1..10_u8)) {
        // Lengths of the SWIFT registry.
        let (country, length) = [("NO", 15), ("SE", 24), ("DK", 18), ("FI", 18), ("DE", 22), ("LT", 20)][country];
        let bban: String = format!("{number:020}").chars().cycle().take(length - 4).collect();
        let value = format!("{bban}{country}00").bytes().fold(0_u32, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        });
        let plain = format!("{country}{:02}{bban}", 98 - value);
        let find = |candidate: &Candidate<'_>| iban::find(candidate).unwrap();
        prop_assert_eq!(find(&Candidate::whole(plain.as_bytes())), Some(plain.len()), "{}", plain);
        let spaced: Vec<&str> = (0..plain.len()).step_by(4).map(|start| &plain[start..plain.len().min(start + 4)]).collect();
        for form in [plain.to_lowercase(), spaced.join(" "), spaced.join("-"), spaced.join(" ").to_lowercase()] {
            whole(find, &form)?;
            let glued = format!("IBAN{form}");
            prop_assert_eq!(find(&Candidate::whole(glued.as_bytes())), Some(glued.len()), "{}", glued);
        }
        let mut other = plain.into_bytes();
        other[at] = b'0' + (other[at] - b'0' + by) % 10;
        prop_assert_eq!(find(&Candidate::whole(&other)), None);
    }

    #[test]
    fn swedish_and_finnish_people((day, month, year) in date(), tail in 2..900_u64, coordinated in any::<bool>(), (at, by) in (0..10_usize, 1..10_u8)) {
        let number = digits(year * 10_000_000 + month * 100_000 + (day + if coordinated { 60 } else { 0 }) * 1000 + tail, 9);
        let number = [&number[..], &[luhn_digit(&number)]].concat();
        let plain = text(&number);
        let find = |candidate: &Candidate<'_>| nordic::personnummer(candidate, IDENTITY).unwrap();
        whole(find, &plain)?;
        for form in [grouped(&plain, &[6, 4], "-"), format!("19{}", grouped(&plain, &[6, 4], "-")), format!("19{plain}")] {
            whole(find, &form)?;
        }
        prop_assert_eq!(find(&Candidate::whole(text(&changed(&number, at, by)).as_bytes())), None);

        let number = day * 10_000_000 + month * 100_000 + year * 1000 + tail;
        let check = "0123456789ABCDEFHJKLMNPRSTUVWXY".as_bytes()[(number % 31) as usize];
        let number = format!("{number:09}");
        for sign in ['-', 'A', '+'] {
            let form = format!("{}{sign}{}{}", &number[..6], &number[6..], char::from(check));
            whole(|candidate| nordic::hetu(candidate).unwrap(), &form)?;
        }
    }

    #[test]
    fn organisations(number in 0..10_000_000_u64, (at, by) in (0..9_usize, 1..10_u8)) {
        let find = |candidate: &Candidate<'_>| organisation::find(candidate, ORGANISATION).unwrap();
        let mut norwegian = digits(90_000_000 + number, 8);
        if let Some(check) = mod11_digit(&norwegian, &[3, 2, 7, 6, 5, 4, 3, 2]) {
            norwegian.push(check);
            whole(find, &text(&norwegian))?;
            whole(find, &grouped(&text(&norwegian), &[3, 3, 3], " "))?;
            prop_assert_eq!(find(&Candidate::whole(text(&changed(&norwegian, at, by)).as_bytes())), None);
        }
        let finnish = digits(number, 7);
        if let Some(check) = mod11_digit(&finnish, &[7, 9, 10, 5, 8, 4, 2]).filter(|_| number > 0) {
            whole(find, &format!("{}-{check}", text(&finnish)))?;
        }
    }

    #[test]
    fn phones(number in 20_000_000_u64..100_000_000, plan in 0..8_usize) {
        let eight = number.to_string();
        let silent = |candidate: &Candidate<'_>| phone::find(candidate, Said::default).unwrap();
        let told = |candidate: &Candidate<'_>| phone::find(candidate, PHONE).unwrap();
        for form in [format!("+47{eight}"), format!("+47 {}", grouped(&eight, &[2, 2, 2, 2], " ")), grouped(&eight, &[3, 2, 3], " ")] {
            whole(silent, &form)?;
        }
        for form in [eight.clone(), format!("47{eight}"), format!("45{eight}"), grouped(&eight, &[4, 4], " ")] {
            whole(told, &form)?;
            prop_assert_eq!(silent(&Candidate::whole(form.as_bytes())), None, "{}", form);
        }
        // Forms of the national plans, drawn from the same digits.
        let (a, b) = (&eight[..4], &eight[4..]);
        let form = [
            format!("070-{} {} {}", &eight[..3], &eight[3..5], &eight[5..7]),
            format!("08-{} {} {}", &eight[..3], &eight[3..6], &eight[6..]),
            format!("040 {} {}", &eight[..3], &eight[3..7]),
            format!("030 {}", &eight[..7]),
            format!("0151 {eight}"),
            format!("020 {a} {b}"),
            format!("07{} {}{}", &eight[..3], &eight[3..8], "1"),
            format!("212-5{}-{b}", &eight[..2]),
        ][plan].clone();
        whole(told, &form)?;
        prop_assert_eq!(silent(&Candidate::whole(form.as_bytes())), None, "{}", form);
    }

    #[test]
    fn addresses(
        local in "[a-z][a-z0-9]{0,8}([.+_-][a-z0-9]{1,6}){0,2}",
        domain in "[a-z][a-z0-9]{0,6}(\\.[a-z]{1,6}){0,2}",
        top in prop::sample::select(vec!["no", "se", "com", "example", "xn--p1ai"]),
    ) {
        let form = format!("{local}@{domain}.{top}");
        let find = |candidate: &Candidate<'_>| email::find(candidate).unwrap();
        prop_assert_eq!(find(&Candidate::whole(form.as_bytes())), Some(form.len()), "{}", form);
        for around in ["mailto:", "<", "(", "e="] {
            let behind = format!("{form}).");
            prop_assert_eq!(find(&Candidate::behind(around.as_bytes(), behind.as_bytes())), Some(form.len()), "{}", behind);
        }
    }
}
