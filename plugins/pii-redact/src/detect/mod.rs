//! The detectors: one file each, pure functions over decoded bytes.
//!
//! A detector is asked about one position. It says that nothing starts there, that a value of so many bytes does, or that
//! it can't know yet. It never guesses from where the input happens to end, so a body gives the same result however the
//! network cuts it.

pub mod announce;
pub mod card;
pub mod custom;
pub mod email;
pub mod fodselsnummer;
pub mod iban;
pub mod ip;
pub mod kontonummer;
pub mod order;
pub mod phone;

/// More input is needed before a detector can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedMore;

/// What a detector answers: the length of the value that starts here, none, or "ask again with more".
pub type Verdict = Result<Option<usize>, NeedMore>;

/// The decoded text from a position on, and what stands before it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Decoded bytes, the first of which is the position in question.
    pub text: &'a [u8],
    /// Nothing follows `text` that could belong to the same value: the string, field or stream ends there.
    pub complete: bool,
    /// The two decoded bytes before the position, the nearer one last.
    pub before: [u8; 2],
}

impl<'a> Candidate<'a> {
    /// A candidate that stands alone, as in a header value or a test.
    pub fn whole(text: &'a [u8]) -> Self {
        Self { text, complete: true, before: [b' '; 2] }
    }

    /// The byte at `index`, or `None` behind the end.
    #[inline]
    pub fn at(&self, index: usize) -> Result<Option<u8>, NeedMore> {
        match self.text.get(index) {
            Some(&byte) => Ok(Some(byte)),
            None if self.complete => Ok(None),
            None => Err(NeedMore),
        }
    }

    /// Whether the byte at `index` is a digit.
    #[inline]
    pub fn digit(&self, index: usize) -> Result<Option<u8>, NeedMore> {
        Ok(self.at(index)?.filter(u8::is_ascii_digit))
    }

    /// Whether a number may start here: not inside a word or a longer number, nor behind its decimal point. A comma is
    /// no border: it parts the columns of a table far more often than the digits of one number.
    #[inline]
    pub fn number_may_start(&self) -> bool {
        let [second, first] = self.before;
        !(is_alphanumeric(first) || first == b'.' && second.is_ascii_digit())
    }

    /// Whether a number may end before `index`: neither a word, nor a decimal fraction goes on there.
    #[inline]
    pub fn number_may_end(&self, index: usize) -> Result<bool, NeedMore> {
        match self.at(index)? {
            None => Ok(true),
            Some(byte) if is_alphanumeric(byte) => Ok(false),
            Some(b'.') => Ok(self.digit(index + 1)?.is_none()),
            Some(_) => Ok(true),
        }
    }

    /// Reads exactly `into.len()` digits from `index` on.
    pub fn digits(&self, index: usize, into: &mut [u8]) -> Result<bool, NeedMore> {
        for (offset, digit) in into.iter_mut().enumerate() {
            match self.digit(index + offset)? {
                Some(byte) => *digit = byte - b'0',
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Letters, digits, and the lead bytes of two-byte UTF-8 letters (`ø`, `é`, Greek, Cyrillic). Bytes of longer sequences
/// are mostly punctuation and symbols, which part words. Nothing is cut out of a run of these.
#[inline]
pub fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, 0xC3..=0xDF)
}

/// [`is_alphanumeric`], or the underscore: part of an address or a name, but a border of numbers (`soknad_30108299920.pdf`).
#[inline]
pub fn is_word(byte: u8) -> bool {
    is_alphanumeric(byte) || byte == b'_'
}

/// The weighted sum that the Norwegian check digits are made of, modulo 11.
pub(crate) fn mod11(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(&digit, weight)| u32::from(digit) * weight).sum::<u32>() % 11
}
