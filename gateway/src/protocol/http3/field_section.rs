//! A look at a request's field section before h3 decodes it: what RFC 9114 calls malformed and h3 0.0.8 lets pass, and
//! the number of fields.
//!
//! The server announces a dynamic table of size zero, so a section holds only references to the static table and
//! literals (RFC 9204 sections 3.2.2 and 4.5); names are told apart without decoding values.

/// Bounds of a request's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Encoded bytes of the head; also of anything else that is buffered without reaching the application.
    pub(super) buffered: usize,
    /// Fields.
    pub(super) fields: usize,
}

/// RFC 9114 section 7.2.2.
const HEADERS: u64 = 1;
/// RFC 9114 section 7.2.1.
const DATA: u64 = 0;

/// The frames of a stream up to the end of the first HEADERS frame.
pub(super) struct Head {
    limits: Limits,
    bytes: Vec<u8>,
}

impl Head {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, bytes: Vec::new() }
    }

    /// Takes the next bytes of the stream; true once the head is complete and in order. The error says what is wrong.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<bool, &'static str> {
        // The caller bounds what comes here, see `Budget`.
        self.bytes.extend_from_slice(bytes);
        loop {
            let mut rest = &self.bytes[..];
            let (Some(kind), Some(length)) = (var_int(&mut rest), var_int(&mut rest)) else { return Ok(false) };
            let Ok(length) = usize::try_from(length) else { return Ok(true) };
            if kind == DATA {
                return Ok(true); // Out of place: h3 closes the connection for it.
            }
            let Some(payload) = rest.get(..length) else { return Ok(false) };
            if kind == HEADERS {
                check(payload, self.limits.fields)?;
                return Ok(true);
            }
            // A frame of an unknown type is skipped (RFC 9114 section 9).
            let skipped = self.bytes.len() - rest.len() + length;
            self.bytes.drain(..skipped);
        }
    }
}

/// RFC 9000 section 16.
fn var_int(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let (mine, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(mine[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

/// The pseudo-header fields, with their names in Huffman code (RFC 7541 appendix B).
const PSEUDO: [(&[u8], &[u8]); 6] = [
    (b":method", &[0xb9, 0x49, 0x53, 0x39, 0xe4]),
    (b":scheme", &[0xb8, 0x82, 0x4e, 0x5a, 0x4b]),
    (b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]),
    (b":path", &[0xb9, 0x58, 0xd3, 0x3f]),
    (b":protocol", &[0xb9, 0x5d, 0x87, 0x49, 0xc8, 0x7a, 0x3f]),
    (b":status", &[0xb8, 0x84, 0x8d, 0x36, 0xa3]),
];
const STATUS: usize = 5;

/// The pseudo-header field of an entry of the static table, RFC 9204 appendix A.
const fn of_static(index: u64) -> Option<usize> {
    match index {
        15..=21 => Some(0),
        22 | 23 => Some(1),
        0 => Some(2),
        1 => Some(3),
        24..=28 | 63..=71 => Some(STATUS),
        _ => None,
    }
}

/// RFC 9114 section 4.3: pseudo-header fields come first and once, and a request has none of a response.
fn check(mut section: &[u8], most: usize) -> Result<(), &'static str> {
    const CUT: &str = "a field section that ends early";
    let (_, _) = (integer(&mut section, 8).ok_or(CUT)?, integer(&mut section, 7).ok_or(CUT)?);
    let mut seen = [false; PSEUDO.len()];
    let (mut regular, mut count) = (false, 0);
    while let Some(first) = section.first().copied() {
        count += 1;
        if count > most {
            return Err("more header fields than the limit");
        }
        // RFC 9204 section 4.5: indexed; literal with a name of the table; literal.
        let pseudo = if first & 0x80 != 0 {
            let index = integer(&mut section, 6).ok_or(CUT)?;
            if first & 0x40 != 0 { of_static(index) } else { None }
        } else if first & 0x40 != 0 {
            let index = integer(&mut section, 4).ok_or(CUT)?;
            string(&mut section, 7).ok_or(CUT)?;
            if first & 0x10 != 0 { of_static(index) } else { None }
        } else if first & 0x20 != 0 {
            let (name, huffman) = string(&mut section, 3).ok_or(CUT)?;
            string(&mut section, 7).ok_or(CUT)?;
            PSEUDO.iter().position(|(plain, coded)| name == if huffman { *coded } else { *plain })
        } else {
            return Ok(()); // A reference to the dynamic table, which is empty: h3 closes the connection for it.
        };
        match pseudo {
            None => regular = true,
            Some(_) if regular => return Err("a pseudo-header field after a regular one"),
            Some(STATUS) => return Err("a pseudo-header field of responses"),
            Some(which) if seen[which] => return Err("a pseudo-header field twice"),
            Some(which) => seen[which] = true,
        }
    }
    Ok(())
}

/// An integer with a prefix of `bits` bits, RFC 7541 section 5.1.
fn integer(bytes: &mut &[u8], bits: u32) -> Option<u64> {
    let (first, mut rest) = bytes.split_first()?;
    let mask = (1u64 << bits) - 1;
    let mut value = u64::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value = value.checked_add(u64::from(byte & 0x7f).checked_shl(shift)?)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 56 {
                return None;
            }
        }
    }
    *bytes = rest;
    Some(value)
}

/// A string literal whose length has a prefix of `bits` bits, and whether it is in Huffman code.
fn string<'a>(bytes: &mut &'a [u8], bits: u32) -> Option<(&'a [u8], bool)> {
    let huffman = bytes.first()? & (1 << bits) != 0;
    let length = usize::try_from(integer(bytes, bits)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((text, huffman))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { buffered: 1000, fields: 5 };
    /// `:method: GET`, `:scheme: https`, `:path: /` from the static table.
    const GET: &[u8] = &[0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1];

    fn frame(section: &[u8]) -> Vec<u8> {
        let mut frame = vec![1, u8::try_from(section.len()).expect("short")];
        frame.extend_from_slice(section);
        frame
    }

    fn with(more: &[u8]) -> Vec<u8> {
        frame(&[GET, more].concat())
    }

    /// A literal field with a literal name, not in Huffman code.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        let length = |bytes: &str| u8::try_from(bytes.len()).expect("short");
        let name_length = if name.len() < 7 { vec![0x20 | length(name)] } else { vec![0x27, length(name) - 7] };
        [&name_length, name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    }

    #[test]
    fn a_plain_request_passes_at_every_split() {
        let bytes = with(&literal("x-a", "1"));
        for split in 0..bytes.len() {
            let mut head = Head::new(LIMITS);
            assert_eq!(head.push(&bytes[..split]), Ok(false), "{split}");
            assert_eq!(head.push(&bytes[split..]), Ok(true), "{split}");
        }
    }

    #[test]
    fn repeated_misplaced_and_foreign_pseudo_header_fields_are_refused() {
        for (bytes, what) in [
            (with(&[0xc0 | 1]), "twice"),
            (with(&literal(":path", "/b")), "twice"),
            (with(&[0x2c, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/']), "twice"),
            (with(&[literal("x-a", "1"), literal(":authority", "a")].concat()), "after a regular one"),
            (with(&[0xc0 | 25]), "of responses"),
        ] {
            let error = Head::new(LIMITS).push(&bytes).expect_err(what);
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn fields_are_counted() {
        let two = [literal("a", "1"), literal("b", "2")].concat();
        assert_eq!(Head::new(LIMITS).push(&with(&two)), Ok(true));
        let three = [two, literal("c", "3")].concat();
        assert_eq!(Head::new(LIMITS).push(&with(&three)), Err("more header fields than the limit"));
    }

    #[test]
    fn unknown_frames_are_skipped() {
        let mut bytes = vec![0x21, 2, 9, 9];
        bytes.extend(with(&[]));
        assert_eq!(Head::new(LIMITS).push(&bytes), Ok(true));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), split in 0usize..200) {
            let mut head = Head::new(LIMITS);
            let split = split.min(bytes.len());
            if head.push(&bytes[..split]) == Ok(false) {
                let _ = head.push(&bytes[split..]);
            }
        }
    }
}
