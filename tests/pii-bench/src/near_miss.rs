//! What looks like personal data and is none: wrong check digits, times, hashes, references, versions, drawings.

use fastrand::Rng;

use crate::checksum;
use crate::values::{digits, grouped, one_of, text};

/// A kind of near miss.
pub(crate) struct NearMiss {
    /// What it is.
    pub(crate) label: &'static str,
    /// The key and the words that it comes with, where not any will do.
    pub(crate) name: Option<(&'static str, &'static str)>,
    /// Makes one.
    pub(crate) make: fn(&mut Rng) -> String,
}

const fn any(label: &'static str, make: fn(&mut Rng) -> String) -> NearMiss {
    NearMiss { label, name: None, make }
}

const fn named(label: &'static str, key: &'static str, words: &'static str, make: fn(&mut Rng) -> String) -> NearMiss {
    NearMiss { label, name: Some((key, words)), make }
}

/// All of them.
pub(crate) const ALL: &[NearMiss] = &[
    any("fødselsnummer, wrong check digits", |rng| {
        let date = format!("{:02}{:02}{:02}", rng.u32(1..29), rng.u32(1..13), rng.u32(0..100));
        let nine = date + &text(&digits(rng, 3));
        let first = (0..10).find(|first| (0..4).all(|add| differs(&nine, *first, add))).unwrap_or(0);
        format!("{nine}{first}{}", rng.u32(0..10))
    }),
    any("henkilötunnus, wrong check", |rng| {
        let nine = format!("{:02}{:02}{:02}{:03}", rng.u32(1..29), rng.u32(1..13), rng.u32(30..100), rng.u32(2..900));
        // A letter, so that it is no Swedish number either.
        let wrong = if checksum::hetu(&checksum::digits(&nine)) == 'H' { 'J' } else { 'H' };
        format!("{}-{}{wrong}", &nine[..6], &nine[6..])
    }),
    any("account, wrong check digit", |rng| {
        let ten = text(&[vec![rng.u32(1..10)], digits(rng, 9)].concat());
        let right = checksum::mod11(&checksum::digits(&ten), &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
        let wrong = (right.unwrap_or(0) + 3) % 10;
        grouped(&format!("{ten}{wrong}"), &[4, 2], ".")
    }),
    any("11 digits, nothing said", |rng| {
        // No month is 13 to 39, so it is no date.
        format!("{}{}{}", rng.u32(10..99), rng.u32(13..40), text(&digits(rng, 7)))
    }),
    any("8 digits, nothing said", |rng| format!("{}{}", rng.u32(2..10), text(&digits(rng, 7)))),
    any("card, wrong check digit", |rng| {
        let fifteen = format!("4{}", text(&digits(rng, 14)));
        let wrong = (checksum::luhn(&checksum::digits(&fifteen)) + 1) % 10;
        format!("{fifteen}{wrong}")
    }),
    any("IBAN, wrong check digits", |rng| {
        let bban = text(&digits(rng, 18));
        let wrong = (checksum::iban("DE", &bban) + 1) % 97;
        format!("DE{wrong:02}{bban}")
    }),
    any("Unix time", |rng| rng.u32(1_000_000_000..1_900_000_000).to_string()),
    any("Unix time in ms", |rng| rng.u64(1_000_000_000_000..1_900_000_000_000).to_string()),
    any("ISO 8601", |rng| {
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            rng.u32(1..13),
            rng.u32(1..29),
            rng.u32(0..24),
            rng.u32(0..60),
            rng.u32(0..60),
            rng.u32(0..1000)
        )
    }),
    any("date", |rng| format!("{:02}.{:02}.20{:02}", rng.u32(1..29), rng.u32(1..13), rng.u32(10..40))),
    any("hash", |rng| {
        let length = [32, 40, 64][rng.usize(..3)];
        hexadecimal(rng, length)
    }),
    any("UUID", |rng| grouped(&hexadecimal(rng, 32), &[8, 4, 4, 4], "-")),
    any("UUID of digits", |rng| grouped(&text(&digits(rng, 32)), &[8, 4, 4, 4], "-")),
    named("ISBN", "isbn", "ISBN ", |rng| {
        let twelve = format!("97882{}", text(&digits(rng, 7)));
        let sum: u32 = checksum::digits(&twelve).iter().zip([1, 3].into_iter().cycle()).map(|(d, w)| d * w).sum();
        format!("{twelve}{}", (10 - sum % 10) % 10)
    }),
    any("coordinates", |rng| {
        format!("{}.{:06}, {}.{:06}", rng.u32(55..72), rng.u32(0..1_000_000), rng.u32(4..32), rng.u32(0..1_000_000))
    }),
    any("amount", |rng| {
        format!("{} {:03} {:03},{:02}", rng.u32(1..100), rng.u32(0..1000), rng.u32(0..1000), rng.u32(0..100))
    }),
    any("amount in NOK", |rng| format!("kr {},{:02}", rng.u32(1_000_000..100_000_000), rng.u32(0..100))),
    named("order number", "orderId", "Ordre ", |rng| rng.u32(20_000_000..99_999_999).to_string()),
    named("KID", "kid", "KID: ", |rng| {
        let length = rng.usize(12..20);
        let number = format!("4{}", text(&digits(rng, length)));
        format!("{number}{}", checksum::luhn(&checksum::digits(&number)))
    }),
    named("serial number", "serialNumber", "Serial ", |rng| text(&[vec![rng.u32(1..10)], digits(rng, 11)].concat())),
    named("bytes", "bytes", "bytes=", |rng| rng.u32(20_000_000..99_999_999).to_string()),
    named("SSCC", "sscc", "SSCC ", |rng| format!("3{}", text(&digits(rng, 17)))),
    any("version", |rng| format!("{}.{}.{}", rng.u32(0..30), rng.u32(0..100), rng.u32(0..1000))),
    any("package and version", |rng| {
        let name = one_of(rng, &["lodash", "react-dom", "left_pad", "core.js"]);
        format!("{name}@{}.{}.{}", rng.u32(0..20), rng.u32(0..40), rng.u32(0..40))
    }),
    any("file with density", |rng| format!("icon{}@2x.png", rng.u32(1..100))),
    any("SVG path", |rng| {
        let mut point = || format!("{} {} {} {}", rng.u32(20..99), rng.u32(20..99), rng.u32(20..99), rng.u32(20..99));
        format!("M10 {}C {} L {} z", point(), point(), point())
    }),
    any("MAC address", |rng| grouped(&hexadecimal(rng, 12), &[2, 2, 2, 2, 2], ":")),
    any("row of numbers", |rng| (0..7).map(|_| format!("{:02}", rng.u32(1..49))).collect::<Vec<_>>().join(" ")),
    any("repository", |rng| format!("git@github.com:owner/repo{}.git", rng.u32(1..100))),
    any("block id", |rng| format!("blk_{}", rng.u64(10_u64.pow(18)..9 * 10_u64.pow(18)))),
];

/// Whether this first check digit is wrong with so much added to the remainder.
fn differs(nine: &str, first: u32, add: u32) -> bool {
    checksum::fodselsnummer(&checksum::digits(nine), add).is_none_or(|checks| checks[0] != first)
}

fn hexadecimal(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| rng.digit(16)).collect()
}
