//! A look at a field section before h3 decodes it: what RFC 9114 calls malformed and h3 0.0.8 lets pass, and where it has
//! `:protocol`, of which h3 knows two values alone.
//!
//! The server announces a dynamic table of size zero, so a section holds only references to the static table and
//! literals (RFC 9204 sections 3.2.2 and 4.5); names are told apart without decoding values.

use std::ops::Range;

/// Where a field section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// At the head of a request, which may be an extended CONNECT (RFC 9220).
    Head { extended: bool },
    /// Behind the content.
    Trailers,
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
const SCHEME: usize = 1;
const PATH: usize = 3;
const PROTOCOL: usize = 4;
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

/// RFC 9114 section 4.3: pseudo-header fields come first and once, a request has none of a response, and trailers have
/// none at all. `:protocol` is one only where the server has announced it (RFC 9220 section 3); gives the place of that name
/// with its length.
pub(crate) fn check(whole: &[u8], section: Section) -> Result<Option<Range<usize>>, &'static str> {
    const CUT: &str = "a field section that ends early";
    let mut bytes = whole;
    let (_, _) = (integer(&mut bytes, 8).ok_or(CUT)?, integer(&mut bytes, 7).ok_or(CUT)?);
    let mut seen = [false; PSEUDO.len()];
    let mut protocol = None;
    let mut regular = false;
    while let Some(first) = bytes.first().copied() {
        let start = whole.len() - bytes.len();
        let mut named = start;
        // RFC 9204 section 4.5: indexed; literal with a name of the table; literal.
        let pseudo = if first & 0x80 != 0 {
            let index = integer(&mut bytes, 6).ok_or(CUT)?;
            if first & 0x40 != 0 { of_static(index) } else { None }
        } else if first & 0x40 != 0 {
            let index = integer(&mut bytes, 4).ok_or(CUT)?;
            string(&mut bytes, 7).ok_or(CUT)?;
            if first & 0x10 != 0 { of_static(index) } else { None }
        } else if first & 0x20 != 0 {
            let (name, huffman) = string(&mut bytes, 3).ok_or(CUT)?;
            named = whole.len() - bytes.len();
            string(&mut bytes, 7).ok_or(CUT)?;
            PSEUDO.iter().position(|(plain, coded)| if huffman { is_padded(name, coded) } else { name == *plain })
        } else {
            return Ok(None); // A reference to the dynamic table, which is empty: h3 closes the connection for it.
        };
        let Some(which) = pseudo else {
            regular = true;
            continue;
        };
        match (section, which) {
            (Section::Trailers, _) => return Err("a pseudo-header field in trailers"),
            _ if regular => return Err("a pseudo-header field after a regular one"),
            (_, STATUS) => return Err("a pseudo-header field of responses"),
            (Section::Head { extended: false }, PROTOCOL) => {
                return Err("a pseudo-header field of an extension that was not offered");
            }
            (_, which) if seen[which] => return Err("a pseudo-header field twice"),
            (_, which) => seen[which] = true,
        }
        if which == PROTOCOL {
            protocol = Some(start..named);
        }
    }
    if protocol.is_some() && !(seen[SCHEME] && seen[PATH]) {
        // RFC 8441 section 4.
        return Err("an extended CONNECT without a scheme or a path");
    }
    Ok(protocol)
}

/// Whether this is a name in Huffman code, with more padding than there may be (RFC 7541 section 5.2) as well: h3 0.0.8 takes
/// that.
fn is_padded(name: &[u8], coded: &[u8]) -> bool {
    name.strip_prefix(coded).is_some_and(|padding| padding.iter().all(|&byte| byte == 0xff))
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

    /// `:method: GET`, `:scheme: https`, `:path: /` from the static table.
    const GET: &[u8] = &[0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1];

    const HEAD: Section = Section::Head { extended: false };

    fn with(more: &[u8]) -> Vec<u8> {
        [GET, more].concat()
    }

    /// A literal field with a literal name, not in Huffman code.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        let length = |bytes: &str| u8::try_from(bytes.len()).expect("short");
        let name_length = if name.len() < 7 { vec![0x20 | length(name)] } else { vec![0x27, length(name) - 7] };
        [&name_length, name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    }

    #[test]
    fn a_plain_request_passes_and_ends_nowhere_else() {
        let bytes = with(&literal("x-a", "1"));
        assert_eq!(check(&bytes, HEAD), Ok(None));
        for end in [0, 1, bytes.len() - 1] {
            assert_eq!(check(&bytes[..end], HEAD), Err("a field section that ends early"));
        }
    }

    #[test]
    fn repeated_misplaced_and_foreign_pseudo_header_fields_are_refused() {
        for (bytes, what) in [
            (with(&[0xc0 | 1]), "twice"),
            (with(&literal(":path", "/b")), "twice"),
            (with(&[0x2c, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/']), "twice"),
            (with(&[0x2d, 0xb9, 0x58, 0xd3, 0x3f, 0xff, 1, b'/']), "twice"),
            (with(&[literal("x-a", "1"), literal(":authority", "a")].concat()), "after a regular one"),
            (with(&[0xc0 | 25]), "of responses"),
            (with(&literal(":protocol", "websocket")), "not offered"),
        ] {
            let error = check(&bytes, HEAD).expect_err(what);
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn the_name_of_an_extended_connects_protocol_is_found() {
        const EXTENDED: Section = Section::Head { extended: true };
        let coded = [&[0x2f, 0][..], PSEUDO[PROTOCOL].1].concat();
        for (name, value) in [(literal(":protocol", ""), &b"websocket"[..]), (coded, b"x")] {
            let name = name.strip_suffix(&[0]).unwrap_or(&name);
            let bytes = with(&[name, &[u8::try_from(value.len()).expect("short")], value].concat());
            assert_eq!(check(&bytes, EXTENDED), Ok(Some(GET.len()..GET.len() + name.len())));
            assert!(check(&bytes, HEAD).is_err());
            assert!(check(&[&bytes[..], &bytes[GET.len()..]].concat(), EXTENDED).is_err(), "twice");
        }
        let bytes = [&GET[..3], &literal(":protocol", "websocket")].concat();
        assert!(check(&bytes, EXTENDED).is_err(), "no scheme, no path");
    }

    #[test]
    fn trailers_have_no_pseudo_header_fields() {
        let trailers = [vec![0, 0], literal("x-a", "1")].concat();
        assert_eq!(check(&trailers, Section::Trailers), Ok(None));
        for pseudo in [vec![0xc0 | 1], literal(":path", "/")] {
            let error = check(&[trailers.clone(), pseudo].concat(), Section::Trailers).expect_err("refused");
            assert!(error.contains("in trailers"), "{error}");
        }
    }

    #[test]
    fn the_number_of_fields_is_left_to_the_pipeline() {
        let fields: Vec<u8> = (0..300).flat_map(|_| literal("a", "1")).collect();
        assert_eq!(check(&with(&fields), HEAD), Ok(None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = check(&bytes, HEAD);
            let _ = check(&bytes, Section::Trailers);
        }
    }
}
