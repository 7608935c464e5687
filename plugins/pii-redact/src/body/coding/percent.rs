//! The values of a form (URL standard, section 5).

use serde::{Deserialize, Serialize};

use super::Unit;

/// Raw bytes that are decoded at a time.
const LONGEST: usize = 256;

/// There is nothing to remember.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Percent;

impl Percent {
    pub(super) fn unit(raw: &[u8], last: bool) -> Unit {
        if raw.len() < LONGEST {
            return if last { Unit::Whole(raw.len()) } else { Unit::Cut };
        }
        // Not inside an escape.
        let tail = &raw[LONGEST - 2..LONGEST];
        Unit::Whole(tail.iter().position(|byte| *byte == b'%').map_or(LONGEST, |at| LONGEST - 2 + at))
    }

    pub(crate) fn decode(unit: &[u8], plain: &mut Vec<u8>) {
        let mut at = 0;
        while at < unit.len() {
            let escaped = (unit[at] == b'%').then(|| hex(&unit[at + 1..])).flatten();
            plain.push(match (unit[at], escaped) {
                (_, Some(byte)) => byte,
                (b'+', _) => b' ',
                (byte, _) => byte,
            });
            at += if escaped.is_some() { 3 } else { 1 };
        }
    }

    pub(super) fn encode(plain: &[u8], out: &mut Vec<u8>) {
        for &byte in plain {
            match byte {
                b' ' => out.push(b'+'),
                b'*' | b'-' | b'.' | b'_' => out.push(byte),
                byte if byte.is_ascii_alphanumeric() => out.push(byte),
                byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            }
        }
    }
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}
