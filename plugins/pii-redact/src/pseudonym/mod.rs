//! Reversible pseudonyms: placeholders that stand for the values of a request, and become these again in its response.
//!
//! A placeholder is one word of ASCII letters, `PIIemailXkqtrwnbdhjzm`: there is nothing in it that JSON, URLs, HTML or
//! Markdown would escape, that a model would spell otherwise, or that reads as a value. Behind the name of the category and
//! an `X` come twelve consonants of a keyed hash of the value; upper and lower case are the same.

mod document;
pub mod link;
pub mod restore;
pub mod table;

/// Letters of the hash: no vowels, so that they make no words, and no `x`, which comes before them.
const ALPHABET: &[u8; 20] = b"bcdfghjklmnpqrstvwyz";
/// How many of them: of 20 letters, some 51 bits.
pub const HASH: usize = 12;
const START: &[u8] = b"pii";
const LONGEST_LABEL: usize = 14;
/// Bytes of the longest placeholder.
pub(crate) const LONGEST: usize = START.len() + LONGEST_LABEL + 1 + HASH;

/// The letters of a hash; none where it is too short.
pub fn letters(mac: &[u8]) -> Option<[u8; HASH]> {
    let mut letters = [0; HASH];
    let mac = mac.get(..HASH)?;
    for (letter, byte) in letters.iter_mut().zip(mac) {
        *letter = ALPHABET[usize::from(*byte) % ALPHABET.len()];
    }
    Some(letters)
}

/// The placeholder of a value of a category with this hash.
pub fn placeholder(category: &str, letters: &[u8; HASH]) -> String {
    let plain = |character: &char| character.is_ascii_lowercase() && *character != 'x';
    let label: String = category.to_ascii_lowercase().chars().filter(plain).take(LONGEST_LABEL).collect();
    let label = if label.is_empty() { "value" } else { &label };
    format!("PII{label}X{}", String::from_utf8_lossy(letters))
}

/// Whether a value may have a placeholder: where it is written again it must not change what surrounds it, be that JSON,
/// HTML or XML, so values with quotes, angle brackets and the like have none.
pub fn may_return(value: &[u8]) -> bool {
    let harmless =
        |character: char| !character.is_control() && !matches!(character, '"' | '\'' | '`' | '<' | '>' | '&' | '\\');
    std::str::from_utf8(value).is_ok_and(|text| text.chars().all(harmless))
}

/// What begins at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// A placeholder of this length.
    Placeholder(usize, [u8; HASH]),
    /// The start of one.
    Part,
    Nothing,
}

/// Looks for a placeholder at the start of some bytes.
pub(crate) fn begins(bytes: &[u8]) -> Begins {
    let is = |at: usize, fits: &dyn Fn(u8) -> bool| bytes.get(at).map(|byte| fits(byte.to_ascii_lowercase()));
    for (at, expected) in START.iter().enumerate() {
        match is(at, &|byte| byte == *expected) {
            Some(true) => {}
            Some(false) => return Begins::Nothing,
            None => return Begins::Part,
        }
    }
    let label = bytes[START.len()..].iter().take(LONGEST_LABEL);
    let label = label.take_while(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'x')).count();
    let mark = START.len() + label;
    match is(mark, &|byte| byte == b'x') {
        Some(true) if label > 0 => {}
        Some(_) => return Begins::Nothing,
        None => return Begins::Part,
    }
    let mut hash = [0; HASH];
    for (index, letter) in hash.iter_mut().enumerate() {
        match bytes.get(mark + 1 + index).map(u8::to_ascii_lowercase) {
            Some(byte) if ALPHABET.contains(&byte) => *letter = byte,
            Some(_) => return Begins::Nothing,
            None => return Begins::Part,
        }
    }
    Begins::Placeholder(mark + 1 + HASH, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_found_in_any_case_and_cut_anywhere() {
        let hash = letters(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]).unwrap();
        for category in ["email", "fodselsnummer", "Customer-Id_x", "x-1", "a-very-long-name-of-a-category"] {
            let made = placeholder(category, &hash);
            assert!(made.len() <= LONGEST && made.bytes().all(|byte| byte.is_ascii_alphabetic()), "{made}");
            for spelled in [made.clone(), made.to_uppercase(), made.to_lowercase()] {
                assert_eq!(begins(format!("{spelled}s").as_bytes()), Begins::Placeholder(made.len(), hash), "{made}");
                for cut in 0..made.len() {
                    assert_eq!(begins(&spelled.as_bytes()[..cut]), Begins::Part);
                }
            }
        }
        for nothing in ["p1", "piixkqtr", "piiemailxa", "pii emailx", "piiemailxkqtr kqtr"] {
            assert_eq!(begins(nothing.as_bytes()), Begins::Nothing, "{nothing}");
        }
        assert_eq!(letters(&[1, 2]), None);
    }

    #[test]
    fn what_could_change_its_surroundings_has_none() {
        assert!(may_return("kåre@example.no".as_bytes()) && may_return(b"+47 987 65 432"));
        for value in [&b"\"kari n\"@example.no"[..], b"o'k@example.no", b"a&b@example.no", b"<b>", b"a\nb", b"\xFF"] {
            assert!(!may_return(value), "{value:?}");
        }
    }
}
