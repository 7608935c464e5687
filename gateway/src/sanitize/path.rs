//! Paths without the segments that look like personal data.

use std::borrow::Cow;

/// Stands for a path segment that looks like personal data.
const MASK: &str = "***";

/// The path with [`MASK`] for segments that hold an `@` or six digits in a row, that have escapes (who searches or is called
/// `%C3%85se`), or that look like a token: letters and digits in a row of sixteen and more.
pub(super) fn masked(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| looks_personal(segment.as_bytes())) {
        return path.into();
    }
    let mut masked = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            masked.push('/');
        }
        masked.push_str(if looks_personal(segment.as_bytes()) { MASK } else { segment });
    }
    masked.into()
}

fn looks_personal(text: &[u8]) -> bool {
    const NUMBER: usize = 6;
    const TOKEN: usize = 16;
    // Of what is under way: digits in a row, and letters and digits in a row of which some are digits and some are not.
    let (mut digits, mut token, mut numbers) = (0, 0, 0);
    for byte in text {
        let digit = byte.is_ascii_digit();
        digits = if digit { digits + 1 } else { 0 };
        (token, numbers) = match byte.is_ascii_alphanumeric() {
            true => (token + 1, numbers + usize::from(digit)),
            false => (0, 0),
        };
        let is_token = token >= TOKEN && numbers > 0 && numbers < token;
        if digits == NUMBER || is_token || matches!(byte, b'@' | b'%') {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_segments_are_masked() {
        for (path, expected) in [
            ("/users/kari@example.no/x", "/users/***/x"),
            ("/users/kari%40example.no", "/users/***"),
            ("/p/01017012345/", "/p/***/"),
            ("/p/12345/a12345b6", "/p/12345/a12345b6"),
            ("/p/a123456b", "/p/***"),
            ("/a/3f9c2b7de81a04cc/b", "/a/***/b"),
            ("/kunder/%C3%85se", "/kunder/***"),
            ("/release-notes-2024/internationalisation", "/release-notes-2024/internationalisation"),
            ("*", "*"),
        ] {
            assert_eq!(masked(path), expected);
        }
    }
}
