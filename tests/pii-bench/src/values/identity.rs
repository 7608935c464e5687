//! National identity numbers: Norwegian fødselsnummer and D-number, Swedish personnummer and samordningsnummer, Danish CPR
//! number, Finnish henkilötunnus. Sources: see [`crate::checksum`]; Skatteverket SKV 704 and 707.

use fastrand::Rng;

use super::{NARROW, NO_BREAK, Spelling, ZERO_WIDTH, announced, bare, digits, full_width, grouped, text, variant};
use crate::checksum;

const NO: &str = "fodselsnummer";
const SE: &str = "personnummer";
const DK: &str = "cpr";
const FI: &str = "hetu";

pub(super) const SPELLINGS: &[Spelling] = &[
    bare(NO, "11 digits", |rng| norwegian(rng, 0, 0)),
    bare(NO, "6 5", |rng| grouped(&norwegian(rng, 0, 0), &[6], " ")),
    bare(NO, "D-number", |rng| norwegian(rng, 4, 0)),
    bare(NO, "rule of 2032", |rng| {
        let relaxed = rng.u32(1..=3);
        norwegian(rng, 0, relaxed)
    }),
    variant(bare(NO, "6-5", |rng| grouped(&norwegian(rng, 0, 0), &[6], "-"))),
    variant(bare(NO, "6 3 2", |rng| grouped(&norwegian(rng, 0, 0), &[6, 3], " "))),
    variant(bare(NO, "dd.mm.yy nnnnn", |rng| {
        let number = norwegian(rng, 0, 0);
        format!("{} {}", grouped(&number[..6], &[2, 2], "."), &number[6..])
    })),
    variant(bare(NO, "no-break space", |rng| grouped(&norwegian(rng, 0, 0), &[6], NO_BREAK))),
    variant(bare(NO, "narrow space", |rng| grouped(&norwegian(rng, 0, 0), &[6], NARROW))),
    variant(bare(NO, "zero-width space", |rng| grouped(&norwegian(rng, 0, 0), &[6], ZERO_WIDTH))),
    variant(bare(NO, "tab", |rng| grouped(&norwegian(rng, 0, 0), &[6], "\t"))),
    variant(bare(NO, "full width", |rng| full_width(&norwegian(rng, 0, 0)))),
    bare(SE, "yymmdd-nnnn", |rng| swedish(rng, 0, "-")[2..].to_owned()),
    bare(SE, "yyyymmdd-nnnn", |rng| swedish(rng, 0, "-")),
    bare(SE, "samordningsnummer", |rng| swedish(rng, 60, "-")[2..].to_owned()),
    announced(SE, "12 digits", |rng| swedish(rng, 0, "")),
    announced(SE, "10 digits", |rng| swedish(rng, 0, "")[2..].to_owned()),
    variant(bare(SE, "full width", |rng| full_width(&swedish(rng, 0, "-")[2..]))),
    announced(DK, "ddmmyy-nnnn", |rng| danish(rng, "-")),
    announced(DK, "10 digits", |rng| danish(rng, "")),
    variant(announced(DK, "ddmmyy nnnn", |rng| danish(rng, " "))),
    variant(announced(DK, "no-break space", |rng| danish(rng, NO_BREAK))),
    bare(FI, "ddmmyy-nnnX", |rng| finnish(rng, &['-', 'A'])),
    bare(FI, "signs of 2023", |rng| finnish(rng, &['Y', 'X', 'W', 'V', 'U', 'B', 'C', 'D', 'E', 'F'])),
    variant(bare(FI, "lower case", |rng| finnish(rng, &['A', '-']).to_lowercase())),
];

/// A date of birth of a grown-up: day, month, year. No month has more than 28 days here, which loses nothing.
fn date(rng: &mut Rng) -> [u32; 3] {
    [rng.u32(1..=28), rng.u32(1..=12), rng.u32(1930..=1999)]
}

/// A Norwegian number with `marked` added to its first digit (4: D-number), and `relaxed` to the remainder of the first
/// check digit.
fn norwegian(rng: &mut Rng, marked: u32, relaxed: u32) -> String {
    loop {
        let [day, month, year] = date(rng);
        // Individual numbers 000 to 499 are those of 1900 to 1999.
        let individual = rng.u32(0..500);
        let mut nine = checksum::digits(&format!("{day:02}{month:02}{:02}{individual:03}", year % 100));
        nine[0] += marked;
        if let Some(checks) = checksum::fodselsnummer(&nine, relaxed) {
            return text(&nine) + &text(&checks);
        }
    }
}

/// A Swedish number with the century, `added` to the day (60: samordningsnummer).
fn swedish(rng: &mut Rng, added: u32, separator: &str) -> String {
    let [day, month, year] = date(rng);
    let number = format!("{year}{month:02}{:02}{}", day + added, text(&digits(rng, 3)));
    let check = checksum::luhn(&checksum::digits(&number[2..]));
    format!("{}{separator}{}{check}", &number[..8], &number[8..])
}

/// A Danish number; since 2007 they need no check digit, so only every second one has it.
fn danish(rng: &mut Rng, separator: &str) -> String {
    const WEIGHTS: [u32; 9] = [4, 3, 2, 7, 6, 5, 4, 3, 2];
    loop {
        let [day, month, year] = date(rng);
        // The seventh digit is 0 to 3 for people born from 1900 to 1999.
        let nine = format!("{day:02}{month:02}{:02}{}{}", year % 100, rng.u32(0..4), text(&digits(rng, 2)));
        let check = if rng.bool() { checksum::mod11(&checksum::digits(&nine), &WEIGHTS) } else { Some(rng.u32(0..10)) };
        if let Some(check) = check {
            return format!("{}{separator}{}{check}", &nine[..6], &nine[6..]);
        }
    }
}

/// A Finnish number with one of these signs of the century.
fn finnish(rng: &mut Rng, signs: &[char]) -> String {
    let [day, month, year] = date(rng);
    let sign = signs[rng.usize(..signs.len())];
    // A to F are the signs of 2000 and later.
    let year = if sign.is_ascii_digit() || ('A'..='F').contains(&sign) { year % 10 } else { year % 100 };
    let (date, individual) = (format!("{day:02}{month:02}{year:02}"), format!("{:03}", rng.u32(2..900)));
    let check = checksum::hetu(&checksum::digits(&format!("{date}{individual}")));
    format!("{date}{sign}{individual}{check}")
}
