//! The `baggage` field (<https://www.w3.org/TR/baggage/>): what applications hand on along a trace. The gateway reads none of it;
//! it passes on what is valid, or drops it.

/// Bytes and members that have to be passed on (section 3.3.2). More are too many here.
const MOST_BYTES: usize = 8192;
const MOST_MEMBERS: usize = 64;

/// Whether all fields of a message together are a list of members within the limits (section 3.3.1).
pub(super) fn is_valid<'a>(values: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut bytes, mut members) = (0, 0);
    for value in values {
        for member in value.split(|byte| *byte == b',') {
            bytes += member.len() + 1;
            members += 1;
            if bytes > MOST_BYTES + 1 || members > MOST_MEMBERS || !is_member(member) {
                return false;
            }
        }
    }
    true
}

/// `key=value`, and properties behind semicolons: keys with a value or without.
fn is_member(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b';');
    let pair = |part: &[u8]| {
        let at = part.iter().position(|byte| *byte == b'=')?;
        Some(is_token(part[..at].trim_ascii()) && is_value(part[at + 1..].trim_ascii()))
    };
    let first = parts.next().is_some_and(|part| pair(part) == Some(true));
    first && parts.all(|part| pair(part).unwrap_or_else(|| is_token(part.trim_ascii())))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Section 3.3.1.3: visible ASCII without quotes, commas, semicolons and backslashes; the rest is percent-encoded.
fn is_value(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(values: &[&str]) -> bool {
        is_valid(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn members_with_properties_over_several_fields() {
        assert!(valid(&["key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue"]));
        assert!(valid(&["userId=Am%C3%A9lie,serverNode=DF%2028", "isProduction=false", "empty="]));
        assert!(valid(&["a=b==c"]));
        assert!(valid(&[]));
    }

    #[test]
    fn what_is_no_list_or_too_much_is_invalid() {
        let members = vec!["a=1"; 65].join(",");
        let long = format!("a={}", "v".repeat(8192));
        for value in ["", "a", "=1", "a b=1", "a=b c", "a=\"b\"", "a=å", "a=1;", "a=1,,b=2", "a=\\", &members, &long] {
            assert!(!valid(&[value]), "{value}");
        }
        assert!(valid(&[&vec!["a=1"; 64].join(",")]) && !valid(&[&vec!["a=1"; 64].join(","), "b=1"]));
    }
}
