//! Numbering plans as data: which country codes there are, and how long numbers are behind them.
//!
//! Sources: ITU-T E.164 (11/2010) and its list of assigned country codes (ITU Operational Bulletin 1114); the national
//! numbering plans that ITU-T publishes, which are those of Nkom (NO), PTS (SE), Styrelsen for Dataforsyning (DK), Traficom
//! (FI), Fjarskiptastofa (IS), Bundesnetzagentur (DE), Ofcom (GB) and NANPA (US).

use std::ops::RangeInclusive;

/// Digits of the longest number, its country code included (E.164 section 6.2.1).
pub(super) const LONGEST: usize = 15;

/// How long the numbers of a country are behind its code, without the trunk prefix.
pub(super) struct Plan {
    code: &'static [u8],
    pub(super) lengths: RangeInclusive<usize>,
    /// What the first digit is at least.
    first: u8,
}

const fn plan(code: &'static [u8], shortest: usize, longest: usize) -> Plan {
    Plan { code, lengths: shortest..=longest, first: 1 }
}

/// The plans of those whose numbers are known without `+` where words announce them.
pub(super) static NEAR: [Plan; 8] = [
    Plan { code: &[4, 7], lengths: 8..=8, first: 2 },
    plan(&[4, 6], 7, 9),
    Plan { code: &[4, 5], lengths: 8..=8, first: 2 },
    plan(&[3, 5, 8], 6, 10),
    Plan { code: &[3, 5, 4], lengths: 7..=9, first: 3 },
    plan(&[4, 9], 7, 11),
    plan(&[4, 4], 9, 10),
    Plan { code: &[1], lengths: 10..=10, first: 2 },
];

/// The plans of others whose numbers all have about the same length.
static FAR: [Plan; 18] = [
    plan(&[7], 10, 10),
    plan(&[3, 0], 10, 10),
    plan(&[3, 1], 9, 9),
    plan(&[3, 2], 8, 9),
    plan(&[3, 3], 9, 9),
    plan(&[3, 4], 9, 9),
    plan(&[3, 5, 1], 9, 9),
    plan(&[3, 7, 0], 8, 8),
    plan(&[3, 7, 1], 8, 8),
    plan(&[3, 7, 2], 7, 8),
    plan(&[3, 8, 0], 9, 9),
    plan(&[4, 1], 9, 9),
    plan(&[4, 2, 0], 9, 9),
    plan(&[4, 2, 1], 9, 9),
    plan(&[4, 8], 9, 9),
    plan(&[9, 1], 10, 10),
    plan(&[2, 9, 8], 6, 6),
    plan(&[2, 9, 9], 6, 6),
];

/// How a number stands against what is known of its country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Too short, too long, or of no country.
    Not,
    /// It may be a whole number.
    Fits,
    /// It can't be longer.
    Longest,
}

/// How digits fit that begin with a country code. A trunk prefix behind the code, which isn't dialled there, doesn't count.
pub(super) fn fit(digits: &[u8]) -> Fit {
    let Some(plan) = NEAR.iter().chain(&FAR).find(|plan| digits.starts_with(plan.code)) else {
        return if (8..=LONGEST).contains(&digits.len()) && is_country_code(digits) { Fit::Fits } else { Fit::Not };
    };
    plan.fit(&digits[plan.code.len()..])
}

/// As [`fit`], with the code of one of the near countries.
pub(super) fn fit_near(digits: &[u8]) -> Fit {
    match NEAR.iter().find(|plan| digits.starts_with(plan.code)) {
        Some(plan) => plan.fit(&digits[plan.code.len()..]),
        None => Fit::Not,
    }
}

impl Plan {
    fn fit(&self, national: &[u8]) -> Fit {
        let significant = national.strip_prefix(&[0]).unwrap_or(national);
        let starts = significant.first().is_some_and(|first| *first >= self.first);
        match significant.len() {
            length if !starts || !self.lengths.contains(&length) => Fit::Not,
            length if length == *self.lengths.end() => Fit::Longest,
            _ => Fit::Fits,
        }
    }
}

/// How a national number is written that has no trunk prefix.
pub(super) struct Shape {
    pub(super) groups: &'static [usize],
    /// What may part the groups.
    pub(super) separators: &'static [u8],
    /// What the first digit is at least.
    pub(super) first: u8,
    /// Whether the fourth digit is two or more: the office code of a North American number.
    pub(super) office: bool,
}

const fn shape(groups: &'static [usize], separators: &'static [u8], first: u8) -> Shape {
    Shape { groups, separators, first, office: false }
}

/// Norway and Denmark, Iceland, North America.
pub(super) static SHAPES: [Shape; 9] = [
    shape(&[8], b"", 2),
    shape(&[2, 2, 2, 2], b" -", 2),
    shape(&[3, 2, 3], b" -", 2),
    shape(&[4, 4], b" ", 2),
    shape(&[2, 3, 3], b" ", 2),
    shape(&[7], b"", 4),
    shape(&[3, 4], b" -", 4),
    Shape { groups: &[10], separators: b"", first: 2, office: true },
    Shape { groups: &[3, 3, 4], separators: b" -.)", first: 2, office: true },
];

/// Digits of a national number with its trunk prefix `0`: Sweden, Finland, Germany, Britain.
pub(super) const TRUNK_LENGTHS: RangeInclusive<usize> = 7..=12;

/// Whether an assigned country code starts the number (ITU-T E.164 assignments, by zone).
fn is_country_code(digits: &[u8]) -> bool {
    #[expect(clippy::match_like_matches_macro, reason = "one line per world numbering zone")]
    match (digits[0], digits[1], digits[2]) {
        (1 | 7, _, _) => true,
        (2, 0 | 7, _) | (2, 1..=6 | 9, _) => true,
        (3, 0..=4 | 6 | 9, _) | (3, 5 | 7 | 8, _) => true,
        (4, 0 | 1 | 3..=9, _) | (4, 2, 0 | 1 | 3) => true,
        (5, 1..=8, _) | (5, 0 | 9, _) => true,
        (6, 0..=6, _) | (6, 7..=9, _) => true,
        (8, 1 | 2 | 4 | 6, _)
        | (8, 0, 0 | 8)
        | (8, 5, 0 | 2 | 3 | 5 | 6)
        | (8, 7, 0 | 8)
        | (8, 8, 0 | 1 | 2 | 3 | 6) => true,
        (9, 0..=5 | 8, _) | (9, 6 | 7 | 9, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_countries() {
        let fits = |text: &str| fit(&text.bytes().map(|byte| byte - b'0').collect::<Vec<_>>());
        for (text, expected) in [
            ("4798765432", Fit::Longest),
            ("4718765432", Fit::Not),
            ("479876543", Fit::Not),
            ("46701234567", Fit::Longest),
            ("468123456", Fit::Fits),
            ("4407911123456", Fit::Longest),
            ("4915112345678", Fit::Longest),
            ("12125550123", Fit::Longest),
            ("11125550123", Fit::Not),
            ("97150123456", Fit::Fits),
            ("2101234567", Fit::Fits),
            ("999", Fit::Not),
        ] {
            assert_eq!(fits(text), expected, "{text}");
        }
    }
}
