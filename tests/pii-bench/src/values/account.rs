//! What money is sent to and paid with: Norwegian account numbers, IBAN (ISO 13616-1, structures of the SWIFT IBAN
//! registry), payment cards (ISO/IEC 7812-1, ranges that the brands publish).

use fastrand::Rng;

use super::{NARROW, NO_BREAK, Spelling, announced, bare, digits, full_width, grouped, one_of, text, variant};
use crate::checksum;

const ACCOUNT: &str = "kontonummer";
const CARD: &str = "card";
const IBAN: &str = "iban";
const FOURS: &[usize] = &[4, 4, 4, 4, 4, 4, 4, 4];

pub(super) const SPELLINGS: &[Spelling] = &[
    bare(ACCOUNT, "4.2.5", |rng| grouped(&account(rng), &[4, 2], ".")),
    bare(ACCOUNT, "4 2 5", |rng| grouped(&account(rng), &[4, 2], " ")),
    announced(ACCOUNT, "11 digits", account),
    variant(bare(ACCOUNT, "4-2-5", |rng| grouped(&account(rng), &[4, 2], "-"))),
    variant(bare(ACCOUNT, "no-break space", |rng| grouped(&account(rng), &[4, 2], NO_BREAK))),
    variant(announced(ACCOUNT, "full width", |rng| full_width(&account(rng)))),
    bare(CARD, "plain", plain_card),
    bare(CARD, "groups of 4", |rng| grouped(&long_card(rng), FOURS, " ")),
    bare(CARD, "4-4-4-4", |rng| grouped(&long_card(rng), FOURS, "-")),
    bare(CARD, "Amex 4 6 5", |rng| grouped(&card(rng, "37", 15), &[4, 6], " ")),
    bare(CARD, "Diners 4 6 4", |rng| grouped(&card(rng, "36", 14), &[4, 6], " ")),
    announced(CARD, "13 and 19 digits", |rng| {
        let length = if rng.bool() { 13 } else { 19 };
        card(rng, "4", length)
    }),
    variant(bare(CARD, "no-break space", |rng| grouped(&long_card(rng), FOURS, NO_BREAK))),
    variant(bare(CARD, "narrow space", |rng| grouped(&long_card(rng), FOURS, NARROW))),
    variant(bare(CARD, "full width", |rng| full_width(&long_card(rng)))),
    variant(bare(CARD, "dots", |rng| grouped(&long_card(rng), FOURS, "."))),
    bare(IBAN, "plain", iban),
    bare(IBAN, "groups of 4", |rng| grouped(&iban(rng), FOURS, " ")),
    variant(bare(IBAN, "lower case", |rng| iban(rng).to_lowercase())),
    variant(bare(IBAN, "no-break space", |rng| grouped(&iban(rng), FOURS, NO_BREAK))),
    variant(bare(IBAN, "hyphens", |rng| grouped(&iban(rng), FOURS, "-"))),
];

/// A Norwegian account number; the fifth and sixth digit are not both 0, which has a rule of its own.
fn account(rng: &mut Rng) -> String {
    loop {
        let bank = rng.u32(1000..9999);
        let ten = checksum::digits(&format!("{bank}{}{}", rng.u32(10..100), text(&digits(rng, 4))));
        if let Some(check) = checksum::mod11(&ten, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) {
            return format!("{}{check}", text(&ten));
        }
    }
}

/// A card of this range and length.
fn card(rng: &mut Rng, prefix: &str, length: usize) -> String {
    let number = prefix.to_owned() + &text(&digits(rng, length - 1 - prefix.len()));
    let check = checksum::luhn(&checksum::digits(&number));
    format!("{number}{check}")
}

/// Sixteen digits: Visa, Mastercard (both ranges), Discover, JCB, UnionPay.
fn long_card(rng: &mut Rng) -> String {
    let range = one_of(rng, &["4", "51", "53", "55", "2223", "2699", "6011", "3530", "3571", "6222"]);
    card(rng, range, 16)
}

/// Of any brand and its length.
fn plain_card(rng: &mut Rng) -> String {
    match rng.u32(0..5) {
        0 => card(rng, "34", 15),
        1 => card(rng, "36", 14),
        _ => long_card(rng),
    }
}

/// The structure of BBANs: `n` a digit, `a` a capital letter, `c` either.
const BBANS: [(&str, &str); 16] = [
    ("NO", "nnnnnnnnnnn"),
    ("SE", "nnnnnnnnnnnnnnnnnnnn"),
    ("DK", "nnnnnnnnnnnnnn"),
    ("FI", "nnnnnnnnnnnnnn"),
    ("IS", "nnnnnnnnnnnnnnnnnnnnnn"),
    ("DE", "nnnnnnnnnnnnnnnnnn"),
    ("GB", "aaaannnnnnnnnnnnnn"),
    ("FR", "nnnnnnnnnncccccccccccnn"),
    ("NL", "aaaannnnnnnnnn"),
    ("CH", "nnnnncccccccccccc"),
    ("ES", "nnnnnnnnnnnnnnnnnnnn"),
    ("IT", "annnnnnnnnncccccccccccc"),
    ("PL", "nnnnnnnnnnnnnnnnnnnnnnnn"),
    ("EE", "nnnnnnnnnnnnnnnn"),
    ("BE", "nnnnnnnnnnnn"),
    ("AT", "nnnnnnnnnnnnnnnn"),
];

fn iban(rng: &mut Rng) -> String {
    let (country, structure) = BBANS[rng.usize(..BBANS.len())];
    let character = |rng: &mut Rng, class: char| match class {
        'n' => rng.digit(10),
        'a' => rng.uppercase(),
        _ => rng.digit(36).to_ascii_uppercase(),
    };
    let bban: String = structure.chars().map(|class| character(rng, class)).collect();
    format!("{country}{:02}{bban}", checksum::iban(country, &bban))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ibans_leave_1_and_have_their_countrys_length() {
        let mut rng = Rng::with_seed(3);
        for _ in 0..100 {
            let iban = iban(&mut rng);
            assert_eq!(checksum::modulo_97(&format!("{}{}", &iban[4..], &iban[..4])), 1, "{iban}");
        }
        // Lengths of the SWIFT IBAN registry.
        for (country, length) in [("NO", 15), ("SE", 24), ("GB", 22), ("FR", 27), ("IT", 27), ("BE", 16), ("CH", 21)] {
            let (_, structure) = BBANS.iter().find(|(name, _)| *name == country).unwrap();
            assert_eq!(structure.len() + 4, length, "{country}");
        }
    }
}
