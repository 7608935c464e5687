//! The detectors: one file each, pure functions over decoded bytes.
//!
//! A detector is asked about one position. It says that nothing starts there, that a value of so many bytes does, or that
//! it can't know yet. It never guesses from where the input happens to end, so a body gives the same result however the
//! network cuts it.

pub mod announce;
pub mod card;
pub mod credential;
pub mod custom;
pub mod email;
pub mod fodselsnummer;
pub mod iban;
pub mod ip;
pub mod kontonummer;
pub mod nordic;
pub mod order;
pub mod organisation;
pub mod phone;
pub mod surroundings;

use serde::{Deserialize, Serialize};

/// More input is needed before a detector can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedMore;

/// What a detector answers: the length of the value that starts here, none, or "ask again with more".
pub type Verdict = Result<Option<usize>, NeedMore>;

/// The last decoded bytes before a position, as a scanner keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept([u8; Before::REACH]);

impl Kept {
    /// Nothing that matters.
    pub const NOTHING: Self = Self([b' '; Before::REACH]);
}

/// The last decoded bytes before a position. Where a value starts, spaces stand for what isn't there.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    far: &'a Kept,
    /// What follows those.
    near: &'a [u8],
}

impl<'a> Before<'a> {
    /// How far it reaches: to the start of a UUID from its last group, or of a URL from its password.
    pub const REACH: usize = 32;
    /// Nothing that matters.
    pub const NOTHING: Before<'static> = Before { far: &Kept::NOTHING, near: &[] };

    /// Those that were kept, and the bytes that follow them.
    #[inline]
    pub const fn new(far: &'a Kept, near: &'a [u8]) -> Self {
        Self { far, near }
    }

    /// The byte at `index`, 0 being the nearest; a space beyond its reach.
    #[inline]
    pub fn at(&self, index: usize) -> u8 {
        if index >= Self::REACH {
            b' '
        } else if index < self.near.len() {
            self.near[self.near.len() - 1 - index]
        } else {
            self.far.0[Self::REACH - 1 - (index - self.near.len())]
        }
    }

    /// A copy of the bytes, the nearest last.
    pub fn bytes(&self) -> [u8; Before::REACH] {
        std::array::from_fn(|index| self.at(Self::REACH - 1 - index))
    }

    /// To be kept.
    #[inline]
    pub fn keep(&self) -> Kept {
        if let Some(last) = self.near.last_chunk() {
            return Kept(*last);
        }
        // Copies of a fixed length are much cheaper than others in WebAssembly.
        let mut joined = [b' '; 2 * Self::REACH];
        joined[..Self::REACH].copy_from_slice(&self.far.0);
        for (to, byte) in joined[Self::REACH..].iter_mut().zip(self.near) {
            *to = *byte;
        }
        let start = self.near.len();
        let mut kept = [0; Before::REACH];
        kept.copy_from_slice(&joined[start..start + Self::REACH]);
        Kept(kept)
    }

    /// Whether a letter or digit stands there, see [`is_alphanumeric`]: the second byte of a two-byte letter is as much of
    /// a letter as the first.
    #[inline]
    pub fn is_letter(&self) -> bool {
        is_alphanumeric(self.at(0)) || continues(self.at(1), self.at(0))
    }

    /// Whether a letter, digit or underscore stands there.
    #[inline]
    pub fn is_word(&self) -> bool {
        self.is_letter() || self.at(0) == b'_'
    }
}

/// Whether `byte` is the second of a two-byte letter.
#[inline]
pub(crate) fn continues(previous: u8, byte: u8) -> bool {
    matches!(byte, 0x80..=0xBF) && matches!(previous, 0xC3..=0xDF)
}

/// The decoded text from a position on, and what stands before it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Decoded bytes, the first of which is the position in question.
    pub text: &'a [u8],
    /// Nothing follows `text` that could belong to the same value: the string, field or stream ends there.
    pub complete: bool,
    /// The decoded bytes before the position.
    pub before: Before<'a>,
}

impl<'a> Candidate<'a> {
    /// A candidate that stands alone, as in a header value or a test.
    pub fn whole(text: &'a [u8]) -> Self {
        Self { text, complete: true, before: Before::NOTHING }
    }

    /// A candidate that stands alone behind other text.
    pub fn behind(before: &'a [u8], text: &'a [u8]) -> Self {
        Self { text, complete: true, before: Before::new(&Kept::NOTHING, before) }
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
        !self.before.is_letter() && (self.before.at(0) != b'.' || !surroundings::follows_point(&self.before))
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

/// The weighted sum that many Nordic check digits are made of, modulo 11.
pub(crate) fn mod11(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(&digit, weight)| u32::from(digit) * weight).sum::<u32>() % 11
}
