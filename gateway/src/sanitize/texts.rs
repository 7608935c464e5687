//! The texts in a plugin's file, and in its config, in which words are looked for.

use memchr::memmem;

/// Printable bytes in a row that make a text. Shorter ones are code.
const SHORTEST: usize = 6;
/// Bytes of texts that are kept of a file.
const MOST: usize = 4 << 20;
/// Bits that are kept of what stands beside what in them: 1 MiB.
const MOST_BITS: usize = 1 << 23;
/// Words shorter than this stand anywhere by chance; in messages they count where the text has them apart.
const LONG: usize = 5;

/// The texts in a plugin's file.
#[derive(Default)]
pub struct Texts {
    bytes: Vec<u8>,
    beginnings: Beginnings,
}

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
        let beginnings = Beginnings::of(&texts);
        Self { bytes: texts, beginnings }
    }

    /// Whether a word stands there; a short one has to stand apart.
    pub(super) fn have(&self, word: &str) -> bool {
        if !self.beginnings.may_have(word.as_bytes()) {
            return false;
        }
        let apart = |place: usize| {
            let free = |byte: Option<&u8>| !byte.is_some_and(|byte| is_part(*byte));
            free(place.checked_sub(1).and_then(|before| self.bytes.get(before)))
                || free(self.bytes.get(place + word.len()))
        };
        memmem::find_iter(&self.bytes, word).any(|place| word.len() >= LONG || apart(place))
    }

    /// Whether a word stands there, be it inside of another one: compilers put texts next to each other.
    pub(super) fn have_anywhere(&self, word: &str) -> bool {
        self.beginnings.may_have(word.as_bytes()) && self.have_all_of(word)
    }

    /// Whether this stands there as it is.
    pub(super) fn have_all_of(&self, text: &str) -> bool {
        memmem::find(&self.bytes, text.as_bytes()).is_some()
    }
}

/// Whether a byte is one of a word's.
pub(super) const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | 0x80..)
}

/// Which bytes stand beside each other: whoever asks for a word that is not there is told so without a look at all the texts.
#[derive(Default)]
struct Beginnings(Box<[u64]>);

impl Beginnings {
    fn of(texts: &[u8]) -> Self {
        // Few of the bits are set, so that most of what is not there is known not to be.
        let bits = (texts.len() * 16).next_power_of_two().clamp(64, MOST_BITS);
        let mut beginnings = Self(vec![0; bits / 64].into());
        for length in 2..=LONG {
            for bytes in texts.windows(length) {
                let (at, bit) = beginnings.place(bytes);
                beginnings.0[at] |= bit;
            }
        }
        beginnings
    }

    /// Whether all of a word's beginnings, and those of its parts, are there.
    fn may_have(&self, word: &[u8]) -> bool {
        if word.len() < 2 || self.0.is_empty() {
            return !self.0.is_empty();
        }
        word.windows(word.len().min(LONG)).all(|bytes| {
            let (at, bit) = self.place(bytes);
            self.0[at] & bit != 0
        })
    }

    /// Where the bit for these few bytes is.
    fn place(&self, bytes: &[u8]) -> (usize, u64) {
        let number = bytes.iter().fold(bytes.len() as u64, |number, byte| number << 8 | u64::from(*byte));
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        let bit = usize::try_from(hash).unwrap_or_default() & (self.0.len() * 64 - 1);
        (bit / 64, 1 << (bit % 64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What stands there is found, and nothing else.
        #[test]
        fn words_are_found_as_if_all_was_looked_through(texts in "[a-dåæ ]{6,90}", word in "[a-då]{1,7}") {
            prop_assert_eq!(Texts::of(texts.as_bytes()).have_anywhere(&word), texts.contains(&word));
        }
    }

    #[test]
    fn a_short_word_has_to_stand_apart_and_nothing_is_found_in_nothing() {
        let texts = Texts::of(b"\x01no token in header\x02");
        assert!(texts.have("in") && texts.have("head") && !texts.have("oke") && texts.have_anywhere("oke"));
        assert!(!Texts::of(b"").have("a") && !Texts::default().have_anywhere("ab") && !Texts::of(b"abc").have("abc"));
    }
}
