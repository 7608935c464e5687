//! Values of each category, made by the public rules of their form. They are nobody's: all digits are drawn.

mod account;
mod contact;
mod identity;
mod organisation;
mod secret;

use fastrand::Rng;

/// A way to write values of a category.
pub(crate) struct Spelling {
    /// The category, as the plugin calls it.
    pub(crate) category: &'static str,
    /// What it looks like, for the tables.
    pub(crate) name: &'static str,
    /// Whether it is how the value's owner is told to write it, and a checksum makes it certain.
    pub(crate) canonical: bool,
    /// Whether only words around it can say what it is.
    pub(crate) announced: bool,
    /// Makes one.
    pub(crate) make: fn(&mut Rng) -> String,
}

/// A spelling that is certain by itself.
const fn bare(category: &'static str, name: &'static str, make: fn(&mut Rng) -> String) -> Spelling {
    Spelling { category, name, canonical: true, announced: false, make }
}

/// A spelling that counts only where it is announced.
const fn announced(category: &'static str, name: &'static str, make: fn(&mut Rng) -> String) -> Spelling {
    Spelling { category, name, canonical: true, announced: true, make }
}

/// Another way to write it.
const fn variant(spelling: Spelling) -> Spelling {
    Spelling { canonical: false, ..spelling }
}

/// All of them.
pub(crate) fn spellings() -> impl Iterator<Item = &'static Spelling> {
    [identity::SPELLINGS, account::SPELLINGS, organisation::SPELLINGS, contact::SPELLINGS, secret::SPELLINGS]
        .into_iter()
        .flatten()
}

/// Categories whose values carry a check digit that leaves little doubt.
pub(crate) const CHECKSUMMED: [&str; 6] = ["fodselsnummer", "personnummer", "hetu", "kontonummer", "card", "iban"];

/// So many random digits.
pub(crate) fn digits(rng: &mut Rng, count: usize) -> Vec<u32> {
    (0..count).map(|_| rng.u32(0..10)).collect()
}

/// Digits as text.
pub(crate) fn text(digits: &[u32]) -> String {
    digits.iter().filter_map(|&digit| char::from_digit(digit, 10)).collect()
}

/// Parts a text into groups of these lengths; what is left over is the last group.
pub(crate) fn grouped(text: &str, groups: &[usize], separator: &str) -> String {
    let mut characters = text.chars();
    let mut parts: Vec<String> = groups.iter().map(|&length| characters.by_ref().take(length).collect()).collect();
    parts.push(characters.collect());
    parts.retain(|part| !part.is_empty());
    parts.join(separator)
}

/// ASCII digits as the full-width ones of U+FF10 to U+FF19.
pub(crate) fn full_width(text: &str) -> String {
    let wide = |digit: u32| char::from_u32(0xFF10 + digit);
    text.chars().map(|character| character.to_digit(10).and_then(wide).unwrap_or(character)).collect()
}

/// One of several.
pub(crate) fn one_of<'a, T: ?Sized>(rng: &mut Rng, choices: &[&'a T]) -> &'a T {
    choices[rng.usize(..choices.len())]
}

/// No-break space, U+00A0.
pub(crate) const NO_BREAK: &str = "\u{A0}";
/// Narrow no-break space, U+202F: the thousands' separator of Norwegian and French typography.
pub(crate) const NARROW: &str = "\u{202F}";
/// Zero-width space, U+200B.
pub(crate) const ZERO_WIDTH: &str = "\u{200B}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_have_names_of_their_own_and_hold_no_line_break_but_for_keys() {
        let mut names: Vec<_> = spellings().map(|spelling| (spelling.category, spelling.name)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let mut rng = Rng::with_seed(1);
        for spelling in spellings().filter(|spelling| spelling.name != "PEM private key") {
            let value = (spelling.make)(&mut rng);
            assert!(value.len() >= 6 && !value.contains('\n'), "{}: {value}", spelling.name);
        }
    }

    #[test]
    fn a_seed_makes_the_same_values_again() {
        let all = |seed| {
            let mut rng = Rng::with_seed(seed);
            spellings().map(|spelling| (spelling.make)(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }

    #[test]
    fn groups() {
        assert_eq!(grouped("12345678903", &[4, 2], "."), "1234.56.78903");
        assert_eq!(full_width("1a"), "１a");
    }
}
