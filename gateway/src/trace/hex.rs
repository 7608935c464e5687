//! Lower-case hex, as the fields that tell of traces have it. Upper case is invalid there.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The bytes that this text stands for; `None` where it is not exactly that many, in lower case.
pub(super) fn decode<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    if text.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}

/// Writes the text that stands for these bytes.
pub(super) fn encode(bytes: &[u8], text: &mut impl Extend<u8>) {
    text.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}
