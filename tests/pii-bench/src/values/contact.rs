//! Ways to reach a person: phone numbers (ITU-T E.164, national numbering plans) and e-mail addresses (RFC 5322 section
//! 3.4.1, RFC 6531, RFC 5890). Domains are those of RFC 2606, or labels with their letters.

use fastrand::Rng;

use super::{NO_BREAK, Spelling, ZERO_WIDTH, announced, bare, digits, full_width, grouped, one_of, text, variant};

const PHONE: &str = "phone";
const EMAIL: &str = "email";

pub(super) const SPELLINGS: &[Spelling] = &[
    bare(PHONE, "+47 plain", |rng| format!("+47{}", norwegian(rng))),
    bare(PHONE, "+47 pairs", |rng| format!("+47 {}", pairs(rng, " "))),
    bare(PHONE, "+47 3 2 3", |rng| format!("+47 {}", grouped(&norwegian(rng), &[3, 2], " "))),
    bare(PHONE, "0047", |rng| format!("0047{}", norwegian(rng))),
    bare(PHONE, "pairs", |rng| pairs(rng, " ")),
    bare(PHONE, "international", international),
    announced(PHONE, "8 digits", norwegian),
    announced(PHONE, "3 2 3", |rng| grouped(&norwegian(rng), &[3, 2], " ")),
    variant(bare(PHONE, "(+47)", |rng| format!("(+47) {}", pairs(rng, " ")))),
    variant(announced(PHONE, "national SE", |rng| format!("07{}-{} {} {}", one(rng), three(rng), two(rng), two(rng)))),
    variant(announced(PHONE, "national DK", |rng| pairs(rng, " "))),
    variant(announced(PHONE, "national FI", |rng| format!("04{} {}{}", one(rng), three(rng), text(&digits(rng, 4))))),
    variant(announced(PHONE, "national DE", |rng| format!("030 {}{}", rng.u32(2..9), text(&digits(rng, 6))))),
    variant(announced(PHONE, "national GB", |rng| format!("020 79{} {}", two(rng), text(&digits(rng, 4))))),
    variant(announced(PHONE, "national US", |rng| format!("(212) 555-01{}", two(rng)))),
    variant(announced(PHONE, "digits without +", |rng| format!("47{}", norwegian(rng)))),
    variant(announced(PHONE, "extension", |rng| format!("{} ext. {}", pairs(rng, " "), rng.u32(10..999)))),
    variant(bare(PHONE, "no-break space", |rng| format!("+47{NO_BREAK}{}", pairs(rng, NO_BREAK)))),
    variant(bare(PHONE, "zero-width space", |rng| format!("+47{ZERO_WIDTH}{}", norwegian(rng)))),
    variant(bare(PHONE, "full width", |rng| full_width(&format!("+47{}", norwegian(rng))))),
    variant(bare(PHONE, "hyphens", |rng| format!("+47-{}", pairs(rng, "-")))),
    bare(EMAIL, "plain", |rng| format!("{}@{}", local(rng), domain(rng))),
    bare(EMAIL, "plus tag", |rng| format!("{}+{}@{}", local(rng), one_of(rng, &["avis", "x", "2026"]), domain(rng))),
    bare(EMAIL, "subdomains", |rng| format!("{}@post.avd{}.{}", local(rng), one(rng), domain(rng))),
    bare(EMAIL, "upper case", |rng| format!("{}@{}", local(rng), domain(rng)).to_uppercase()),
    variant(bare(EMAIL, "IDN", |rng| {
        format!("{}@{}", local(rng), one_of(rng, &["blåbær.no", "größe.example", "ærø.dk"]))
    })),
    variant(bare(EMAIL, "punycode", |rng| format!("{}@xn--blbr-roah.no", local(rng)))),
    variant(bare(EMAIL, "letters outside ASCII", |rng| {
        format!("{}.{}@{}", one_of(rng, &["bjørn", "jürgen", "päivi", "åse", "nguyễn"]), one(rng), domain(rng))
    })),
    variant(bare(EMAIL, "quoted local part", |rng| format!("\"{} {}\"@{}", name(rng), name(rng), domain(rng)))),
    variant(bare(EMAIL, "slash", |rng| format!("{}/{}@{}", name(rng), name(rng), domain(rng)))),
    variant(bare(EMAIL, "apostrophe", |rng| format!("o'{}@{}", name(rng), domain(rng)))),
];

/// Eight digits of the Norwegian plan: mobiles begin with 4 and 9, fixed lines with 2, 3, 5, 6 and 7.
fn norwegian(rng: &mut Rng) -> String {
    let first = [2, 3, 4, 5, 6, 7, 9][rng.usize(..7)];
    format!("{first}{}", text(&digits(rng, 7)))
}

fn pairs(rng: &mut Rng, separator: &str) -> String {
    grouped(&norwegian(rng), &[2, 2, 2], separator)
}

fn one(rng: &mut Rng) -> u32 {
    rng.u32(1..10)
}

fn two(rng: &mut Rng) -> String {
    text(&digits(rng, 2))
}

fn three(rng: &mut Rng) -> String {
    format!("{}{}", one(rng), two(rng))
}

fn international(rng: &mut Rng) -> String {
    let (a, b, c, d) = (three(rng), two(rng), two(rng), text(&digits(rng, 4)));
    match rng.u32(0..6) {
        0 => format!("+46 70 {a} {b} {c}"),
        1 => format!("+45 {}", pairs(rng, " ")),
        2 => format!("+358 40 {a} {d}"),
        3 => format!("+49 30 {a}{d}"),
        4 => format!("+44 20 79{b} {d}"),
        _ => format!("+1 212 555 01{b}"),
    }
}

/// A name without a person: syllables.
fn name(rng: &mut Rng) -> String {
    let syllables = ["ka", "ri", "no", "la", "te", "mo", "si", "ven", "dal", "bo"];
    (0..rng.usize(2..4)).map(|_| one_of(rng, &syllables)).collect()
}

fn local(rng: &mut Rng) -> String {
    match rng.u32(0..4) {
        0 => name(rng),
        1 => format!("{}.{}", name(rng), name(rng)),
        2 => format!("{}_{}", name(rng), one(rng)),
        _ => format!("{}{}", name(rng), two(rng)),
    }
}

fn domain(rng: &mut Rng) -> String {
    let choices = ["example.no", "example.com", "example.org", "mail.example.net", "firma.test", "kommune.example"];
    one_of(rng, &choices).to_owned()
}
