//! Paths, and texts of plugins, without the parts that look like personal data.

use std::borrow::Cow;

/// Stands for a part that looks like personal data.
const MASK: &str = "***";

/// The path with [`MASK`] for segments that hold an `@` or six digits in a row, that have escapes (who searches or is called
/// `%C3%85se`), or that look like a token: letters and digits in a row of sixteen and more.
pub(super) fn masked(path: &str) -> Cow<'_, str> {
    masked_between(path, |character| character == '/')
}

/// A text of a plugin's with [`MASK`] for the words in it that look like that, such as the segments and values of a target.
pub(super) fn masked_words(text: &str) -> Cow<'_, str> {
    // What may be inside an address, a number or a token does not end a word.
    masked_between(text, |character| {
        character.is_whitespace() || character.is_ascii_punctuation() && !"@%.-_+~$!#*".contains(character)
    })
}

/// The text with [`MASK`] for what looks like personal data between its separators.
fn masked_between(text: &str, separates: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if !text.split(separates).any(|part| looks_personal(part.as_bytes())) {
        return text.into();
    }
    let mut masked = String::with_capacity(text.len());
    for piece in text.split_inclusive(separates) {
        let part = piece.strip_suffix(separates).unwrap_or(piece);
        masked.push_str(if looks_personal(part.as_bytes()) { MASK } else { part });
        masked.push_str(&piece[part.len()..]);
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

    #[test]
    fn personal_words_are_masked() {
        for (text, expected) in [
            ("/customers/kari@example.no?fnr=01017012345&page=2", "/customers/***?fnr=***&page=2"),
            ("shadow: few, many", "shadow: few, many"),
            ("\"kari.nordmann+x@example.no\" (Åse)", "\"***\" (Åse)"),
            ("Bearer 3f9c2b7de81a04cc3f9c2b7d", "Bearer ***"),
            ("q=%C3%85se", "q=***"),
            ("half-open", "half-open"),
            ("", ""),
        ] {
            assert_eq!(masked_words(text), expected);
        }
    }
}
