//! Which detectors are asked at a position, and in what order.

use super::announce::{Said, Topic};
use super::{
    Candidate, Verdict, card, credential, email, fodselsnummer, iban, ip, kontonummer, nordic, organisation, phone,
    surroundings,
};
use crate::rules::{CATEGORIES, Category, Rules, start};

/// A password may look like the start of an address, which may start with any number; a fødselsnummer passes as an account, and either may pass as a card or phone.
/// With the fewest digits that a value has before anything but a separator.
const BUILT_IN: [(Category, u8, usize); 13] = [
    (Category::Credential, start::CREDENTIAL, 0),
    (Category::Token, start::TOKEN, 0),
    (Category::Email, start::EMAIL, 0),
    (Category::Ip, start::IP, 0),
    (Category::Fodselsnummer, start::NUMBER, 11),
    (Category::Personnummer, start::NUMBER, 10),
    (Category::Hetu, start::NUMBER, 6),
    (Category::Cpr, start::NUMBER, 10),
    (Category::Organisation, start::NUMBER, 8),
    (Category::Kontonummer, start::NUMBER, 11),
    (Category::Card, start::NUMBER, 12),
    (Category::Iban, start::IBAN, 0),
    (Category::Phone, start::PHONE, 7),
];
/// More digits make no difference.
const ENOUGH: usize = 12;
/// Separators in a row inside a value.
pub(crate) const MOST_SEPARATORS: usize = 3;

/// How many digits stand here with nothing but separators between them, as far as that matters; the most where it isn't known.
pub fn most_digits(candidate: &Candidate<'_>) -> usize {
    let (mut digits, mut separators) = (0, 0);
    for byte in candidate.text {
        match byte {
            b'0'..=b'9' => (digits, separators) = (digits + 1, 0),
            byte if separators < MOST_SEPARATORS && is_separator(*byte) => separators += 1,
            _ => return digits,
        }
        if digits == ENOUGH {
            return digits;
        }
    }
    if candidate.complete { digits } else { usize::MAX }
}

/// How many digits stand here if they stand alone: with no more digits behind them, and no letter.
pub fn lone_digits(candidate: &Candidate<'_>) -> Option<usize> {
    let text = candidate.text;
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = text[count..].iter().take(MOST_SEPARATORS + 1).position(|byte| !is_separator(*byte));
    let alone = match behind {
        Some(0) => !super::is_alphanumeric(text[count]),
        Some(index) => !text[count + index].is_ascii_digit(),
        None => candidate.complete,
    };
    (alone && !text.starts_with(b"00")).then_some(count)
}

/// Whether plain digits that stand alone, and of which nothing is said, may be of the category.
fn may_be_bare(category: Category, count: usize) -> bool {
    match category {
        Category::Fodselsnummer => count == 11,
        Category::Personnummer => count == 12,
        Category::Card => count >= 12,
        // A Norwegian one before ` MVA`.
        Category::Organisation => count == 9,
        Category::Cpr | Category::Hetu | Category::Kontonummer | Category::Phone => false,
        Category::Credential | Category::Token | Category::Email | Category::Ip | Category::Iban | Category::Field => {
            true
        }
    }
}

/// Whether a byte may part the digits of a number.
pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/' | b'+')
}

/// The detectors that may find something where a byte with the bits `wants` stands, as numbers for [`ask`]. Custom
/// patterns come first, being what the operator asked for by name; then the built-in ones in their order.
/// `digits`: see [`most_digits`]; `bare`: so many stand alone, and nothing is said of them.
pub fn asked(rules: &Rules, wants: u8, digits: usize, bare: Option<usize>) -> impl Iterator<Item = usize> {
    let customs = rules.customs().len();
    let first = if wants & start::CUSTOM == 0 { customs } else { 0 };
    (first..customs + BUILT_IN.len()).filter(move |detector| match detector.checked_sub(customs) {
        Some(built_in) => {
            let (category, bit, fewest) = BUILT_IN[built_in];
            wants & bit != 0 && fewest <= digits && bare.is_none_or(|count| may_be_bare(category, count))
        }
        None => true,
    })
}

/// The number of the detector's category: built-in ones come first there, see [`CATEGORIES`].
pub fn category_of(rules: &Rules, detector: usize) -> usize {
    match detector.checked_sub(rules.customs().len()) {
        Some(built_in) => BUILT_IN[built_in].0 as usize,
        None => CATEGORIES.len() + detector,
    }
}

/// Asks one detector. `said` tells what the words before the position say of a number.
pub fn ask(rules: &Rules, detector: usize, candidate: &Candidate<'_>, said: &impl Fn() -> Said) -> Verdict {
    let Some(built_in) = detector.checked_sub(rules.customs().len()) else {
        return rules.customs()[detector].pattern.find(candidate);
    };
    let category = BUILT_IN[built_in].0;
    if rules.action(category).is_none() {
        return Ok(None);
    }
    let found = match category {
        Category::Email => return email::find(candidate),
        Category::Ip => return ip::find(candidate),
        Category::Credential => return credential::find(candidate, said),
        Category::Token => return credential::token(candidate),
        Category::Iban => iban::find(candidate)?,
        Category::Fodselsnummer => match fodselsnummer::find(candidate)?.filter(|(_, rule)| rules.counts(*rule)) {
            Some((_, _)) if surroundings::is_time_and_process(candidate)? && !said().is(Topic::Identity) => None,
            found => found.map(|(length, _)| length),
        },
        Category::Personnummer => nordic::personnummer(candidate, said)?,
        Category::Cpr => nordic::cpr(candidate, said)?,
        Category::Hetu => nordic::hetu(candidate)?,
        Category::Organisation => organisation::find(candidate, said)?,
        Category::Kontonummer => kontonummer::find(candidate, said)?,
        Category::Card => card::find(candidate, said)?,
        Category::Phone => phone::find(candidate, said)?,
        Category::Field => None,
    };
    match found {
        Some(_) if surroundings::in_uuid(candidate)? => Ok(None),
        found => Ok(found),
    }
}
