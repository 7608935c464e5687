//! Numbers of organisations, which count only where words announce them. Sources: see [`crate::checksum`].

use fastrand::Rng;

use super::{NO_BREAK, Spelling, announced, digits, grouped, text, variant};
use crate::checksum;

const CATEGORY: &str = "organisation";

pub(super) const SPELLINGS: &[Spelling] = &[
    announced(CATEGORY, "NO 9 digits", norwegian),
    announced(CATEGORY, "NO 3 3 3", |rng| grouped(&norwegian(rng), &[3, 3], " ")),
    announced(CATEGORY, "SE 6-4", |rng| grouped(&swedish(rng), &[6], "-")),
    announced(CATEGORY, "DK 8 digits", danish),
    announced(CATEGORY, "FI 7-1", |rng| grouped(&finnish(rng), &[7], "-")),
    variant(announced(CATEGORY, "NO no-break space", |rng| grouped(&norwegian(rng), &[3, 3], NO_BREAK))),
];

/// Draws until the weights give a check digit, and appends it.
fn checked(weights: &[u32], mut draw: impl FnMut() -> Vec<u32>) -> String {
    loop {
        let number = draw();
        if let Some(check) = checksum::mod11(&number, weights) {
            return format!("{}{check}", text(&number));
        }
    }
}

/// Norwegian numbers begin with 8 or 9.
fn norwegian(rng: &mut Rng) -> String {
    checked(&[3, 2, 7, 6, 5, 4, 3, 2], || [vec![rng.u32(8..=9)], digits(rng, 7)].concat())
}

/// The third digit is 2 or more, so that it is no date of birth (SKV 709).
fn swedish(rng: &mut Rng) -> String {
    let number = [vec![5, rng.u32(0..10), rng.u32(2..10)], digits(rng, 6)].concat();
    format!("{}{}", text(&number), checksum::luhn(&number))
}

fn danish(rng: &mut Rng) -> String {
    checked(&[2, 7, 6, 5, 4, 3, 2], || [vec![rng.u32(1..5)], digits(rng, 6)].concat())
}

fn finnish(rng: &mut Rng) -> String {
    checked(&[7, 9, 10, 5, 8, 4, 2], || [vec![rng.u32(0..4)], digits(rng, 6)].concat())
}
