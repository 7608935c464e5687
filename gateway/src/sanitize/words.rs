//! What plugins write, without the words that are not theirs.
//!
//! Whatever a plugin knows of a request, of an answer to a call of its own, of what it keeps or of a secret, it has not from its
//! file. So a message is held against the file, as `strings` would show it, and against the config: a word that stands in
//! neither came from elsewhere and is masked, in whatever form the plugin has put it. That needs no list of what it has seen,
//! and holds for what it remembers of earlier requests as well.
//!
//! A word of the file alone says little of where a plugin has it from, if it is a common one. It is shown where it stands beside
//! another one as it does in the file, or where nothing of the exchange has it.

use memchr::memmem;

/// Stands in the place of what is masked.
const MASK: &str = "***";
/// Printable bytes in a row that make a text. Shorter ones are code.
const SHORTEST: usize = 6;
/// Bytes of texts that are kept of a file.
const MOST: usize = 4 << 20;
/// So many digits in a row look like somebody's number.
const DIGITS: usize = 6;
/// Words shorter than this stand anywhere by chance; they count where the text has them apart.
const LONG: usize = 5;

/// The texts in a plugin's file.
#[derive(Default)]
pub struct Texts(Vec<u8>);

impl Texts {
    /// Those in a file, or in a config. Nothing is parsed.
    pub fn of(bytes: &[u8]) -> Self {
        let mut texts = Vec::new();
        for text in bytes.split(|&byte| !is_printable(byte)).filter(|text| text.len() >= SHORTEST) {
            if texts.len() + text.len() >= MOST {
                break;
            }
            texts.extend_from_slice(text);
            texts.push(0);
        }
        texts.shrink_to_fit();
        Self(texts)
    }

    /// Whether a word stands there.
    fn have(&self, word: &str) -> bool {
        let word = word.as_bytes();
        let apart = |place: usize| {
            let free = |byte: Option<&u8>| !byte.is_some_and(|byte| is_part(*byte));
            free(place.checked_sub(1).and_then(|before| self.0.get(before))) || free(self.0.get(place + word.len()))
        };
        memmem::find_iter(&self.0, word).any(|place| word.len() >= LONG || apart(place))
    }

    /// Whether this stands there as it is.
    fn have_all_of(&self, text: &str) -> bool {
        memmem::find(&self.0, text.as_bytes()).is_some()
    }
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | 0x80..)
}

/// Whether a byte is one of a word's.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// A message of a plugin: words that stand in none of its texts are masked, and so are numbers of six digits and more, and words
/// that stand alone and of which `came` says that the exchange has them.
pub fn own_words(message: &str, texts: &[&Texts], came: impl Fn(&str) -> bool) -> String {
    let words = words(message);
    let beside = |one: Option<&(usize, usize)>, other: Option<&(usize, usize)>| match (one, other) {
        (Some((start, _)), Some((_, end))) => texts.iter().any(|texts| texts.have_all_of(&message[*start..*end])),
        _ => false,
    };
    let (mut shown, mut last) = (String::with_capacity(message.len()), 0);
    for (index, &(start, end)) in words.iter().enumerate() {
        let word = &message[start..end];
        let number = word.len() < DIGITS && word.bytes().all(|byte| byte.is_ascii_digit());
        let (before, after) = (index.checked_sub(1).and_then(|before| words.get(before)), words.get(index + 1));
        let here = words.get(index);
        let known = number
            || texts.iter().any(|texts| texts.have(word))
                && !has_number(word)
                && (beside(before, here) || beside(here, after) || !came(word));
        shown.push_str(&message[last..start]);
        shown.push_str(if known { word } else { MASK });
        last = end;
    }
    shown.push_str(&message[last..]);
    shown
}

fn has_number(word: &str) -> bool {
    word.as_bytes().windows(DIGITS).any(|window| window.iter().all(u8::is_ascii_digit))
}

/// Where the words of a text begin and end.
fn words(text: &str) -> Vec<(usize, usize)> {
    let (mut words, mut start) = (Vec::new(), None);
    for (place, byte) in text.bytes().enumerate() {
        match (is_part(byte), start) {
            (true, None) => start = Some(place),
            (false, Some(begun)) => {
                words.push((begun, place));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|begun| (begun, text.len())));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a compiler lays texts down: between code, and without anything between them.
    const FILE: &[u8] =
        b"\0asm\x01\x02no token in headerthe key of  is not knownpatientrefused\0\x07\x01cancerblocked by rule \0";

    fn shown(message: &str) -> String {
        own_words(message, &[&Texts::of(FILE), &Texts::of(b"{\"rule\":\"spring-cleaning\"}")], |word| {
            ["patient", "blocked"].contains(&word)
        })
    }

    #[test]
    fn what_a_plugin_wrote_itself_is_shown_and_nothing_else() {
        for (message, expected) in [
            ("no token in header authorization", "no token in header ***"),
            ("the key of kari is not known", "the key of *** is not known"),
            ("blocked by rule spring-cleaning: 3 of 12345", "blocked by rule spring-cleaning: 3 of 12345"),
            ("refused kari@example.com, 01017012345", "refused ***@***.***, ***"),
            ("refused: patient", "refused: ***"),
            ("cGF0aWVudA== 70617469656e74", "***== ***"),
            ("refused Åse", "refused ***"),
            ("", ""),
        ] {
            assert_eq!(shown(message), expected);
        }
    }

    proptest! {
        /// No word gets through that stands in none of the texts.
        #[test]
        fn nothing_else_gets_through(words in prop::collection::vec("[a-zåæø0-9]{1,12}", 0..9), between in "[ ,:=\"/@-]{1,3}") {
            let message = words.join(&between);
            for word in shown(&message).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let own = Texts::of(FILE).have(word) || Texts::of(b"spring-cleaning").have(word);
                prop_assert!(own || word.len() < DIGITS && word.bytes().all(|byte| byte.is_ascii_digit()), "{word} of {message}");
            }
        }
    }
}
