//! IPv4 and IPv6 addresses. Off by default: four numbers with dots are often a version.

use std::net::Ipv6Addr;

use super::{Candidate, Verdict, is_alphanumeric};

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const LONGEST_V6: usize = 45;

/// The length of an address that starts here.
pub fn find(candidate: &Candidate<'_>) -> Verdict {
    if !candidate.number_may_start() {
        return Ok(None);
    }
    match v4(candidate)? {
        Some(length) => Ok(Some(length)),
        None => v6(candidate),
    }
}

fn v4(candidate: &Candidate<'_>) -> Verdict {
    let mut index = 0;
    for octet in 0..4 {
        if octet > 0 {
            if candidate.at(index)? != Some(b'.') {
                return Ok(None);
            }
            index += 1;
        }
        let (mut value, start) = (0, index);
        while let Some(byte) = candidate.digit(index)? {
            value = value * 10 + u32::from(byte - b'0');
            index += 1;
            if index - start > 3 {
                return Ok(None);
            }
        }
        if index == start || value > 255 {
            return Ok(None);
        }
    }
    let goes_on = match candidate.at(index)? {
        Some(b'.') => candidate.at(index + 1)?.is_some_and(is_alphanumeric),
        Some(byte) => is_alphanumeric(byte),
        None => false,
    };
    Ok((!goes_on).then_some(index))
}

fn v6(candidate: &Candidate<'_>) -> Verdict {
    let mut end = 0;
    while let Some(byte) = candidate.at(end)? {
        if !(byte.is_ascii_hexdigit() || byte == b':' || byte == b'.') {
            if is_alphanumeric(byte) {
                return Ok(None);
            }
            break;
        }
        end += 1;
        // Without a colon in the first five bytes it isn't one.
        if end > LONGEST_V6 + 1 || (end == 5 && !candidate.text[..5].contains(&b':')) {
            return Ok(None);
        }
    }
    let mut text = &candidate.text[..end];
    // The sentence's own punctuation.
    while let [shorter @ .., b'.'] | [shorter @ .., b':'] = text {
        if text.ends_with(b"::") {
            break;
        }
        text = shorter;
    }
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
    Ok((parsed.is_some() && is_plausible(text)).then_some(text.len()))
}

/// `::`, `a::b` and `dead::beef` are a program's, not an interface's. Letters alone are an address where they start like
/// a local or multicast one (RFC 4291 section 2.4, RFC 4193), or where there are many groups.
fn is_plausible(text: &[u8]) -> bool {
    let local = matches!(text, [b'f' | b'F', b'c'..=b'f' | b'C'..=b'F', ..]);
    text.iter().any(u8::is_ascii_digit) || local || text.iter().filter(|byte| **byte == b':').count() > 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        find(&Candidate::whole(text.as_bytes())).unwrap().map(|length| &text[..length])
    }

    #[test]
    fn addresses() {
        for text in [
            "192.0.2.1",
            "255.255.255.255",
            "2001:db8::1",
            "::1",
            "fe80::1ff:fe23:4567:890a",
            "::ffff:192.0.2.1",
            "2001:db8:0:0:0:0:0:1",
            "fd::a",
            "fdab:cdef::b",
        ] {
            assert_eq!(found(text), Some(text));
        }
        assert_eq!(found("192.0.2.1."), Some("192.0.2.1"));
        assert_eq!(found("192.0.2.1:8080"), Some("192.0.2.1"));
        assert_eq!(found("2001:db8::1, x"), Some("2001:db8::1"));
        assert_eq!(found("2001:db8::1."), Some("2001:db8::1"));
    }

    #[test]
    fn a_colon_in_front_hides_no_address() {
        for (text, length) in [("192.0.2.1", 9), ("10.0.0.1:80", 8), ("2001:db8::1", 11)] {
            let behind = Candidate::behind(b"p:", text.as_bytes());
            assert_eq!(find(&behind), Ok(Some(length)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4a",
            "12:30:45",
            "::",
            "a::b",
            "dead::beef",
            "std::vec",
            "deadbeef",
            "2001:db8::1g",
            "1234.1.1.1",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
