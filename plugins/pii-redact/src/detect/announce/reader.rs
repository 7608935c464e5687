//! Reads the words of a name or text one after the other, and keeps what they say.

use super::borders::Border;
use super::words::{
    self, CALLERS, CALLING, CONNECTORS, Meaning, OTHERS, PAIRS, PART_ENDS, PART_STARTS, PARTS, RESTS, SUFFIXES, among,
};
use super::{DENIED, ENDED, Said, Topic};

/// Longer words are known by their ends.
pub(super) const LONGEST_WORD: usize = 24;

/// What is known behind a word.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader {
    said: u8,
    /// The word is that of [`CALLERS`].
    caller: Option<usize>,
    /// What the word announces together with the next, see [`PAIRS`].
    pair: Option<(&'static str, Topic)>,
    /// The word may be an abbreviation, behind whose dot the sentence goes on.
    abbreviated: bool,
    /// The word announces only as the last of a name.
    weak: bool,
    /// A phone number is announced by a verb alone.
    verb: bool,
    /// The word leads away from the verb.
    astray: bool,
}

impl Reader {
    /// Reads the next word.
    pub(super) fn read(&mut self, word: &[u8], border: Border) {
        let joined = border == Border::Joined;
        // What was said of a sentence before holds no longer; `Tlf. Oslo` is one.
        if border == Border::Sentence && !self.abbreviated || border == Border::Row {
            *self = Self::default();
        }
        let mut lower = [0; LONGEST_WORD];
        let end = &word[word.len().saturating_sub(LONGEST_WORD)..];
        let lower = &mut lower[..end.len()];
        lower.copy_from_slice(end);
        lower_case(lower);
        let meaning = meaning(lower);
        let together = self.pair.filter(|(second, _)| match *second {
            "" => meaning == Meaning::Number,
            second => second.as_bytes() == lower,
        });
        // Only what is next to a secret says that it is one.
        self.said &= !(Topic::Secret as u8);
        match (together, meaning) {
            (Some((_, topic)), _) | (None, Meaning::Topic(topic)) => self.announce(topic, false),
            (None, Meaning::Weak) => self.announce(Topic::Phone, false),
            (None, Meaning::Verb) => self.announce(Topic::Phone, true),
            (None, Meaning::Number) if self.caller.is_some() => self.announce(Topic::Phone, false),
            (None, Meaning::End) if lower == b"id" && self.caller.is_some_and(|index| index < CALLING) => {
                self.announce(Topic::Phone, false);
            }
            (None, Meaning::Denial) => self.said |= DENIED,
            (None, Meaning::End) => self.said |= ENDED,
            (None, Meaning::JoinedEnd) if joined => self.said |= ENDED,
            (None, Meaning::Other) if joined && self.weak && !among(&RESTS, lower) => {
                self.said &= !(Topic::Phone as u8)
            }
            (None, Meaning::Other | Meaning::JoinedEnd) if !joined => self.said &= !(DENIED | ENDED),
            (None, Meaning::Number | Meaning::Other | Meaning::JoinedEnd) => {}
        }
        self.abbreviated = together.is_some() || !matches!(meaning, Meaning::Other | Meaning::End | Meaning::JoinedEnd);
        self.weak = matches!(meaning, Meaning::Weak | Meaning::Verb);
        self.astray = meaning == Meaning::Other && word[0].is_ascii_lowercase() && !among(&CONNECTORS, lower);
        self.pair =
            PAIRS.iter().find(|(first, ..)| first.as_bytes() == lower).map(|&(_, second, topic)| (second, topic));
        self.caller = CALLERS.iter().position(|caller| caller.as_bytes() == lower);
    }

    /// What is said in the end. `parted`: a sign that introduces something follows the last word.
    pub(super) fn said(self, parted: bool) -> Said {
        let lost = self.verb && self.astray && !parted;
        Said(if lost { self.said | ENDED } else { self.said })
    }

    /// A topic is named: the number of an organisation is none of the others.
    fn announce(&mut self, topic: Topic, verb: bool) {
        if topic == Topic::Organisation {
            self.said = Topic::Organisation as u8 | DENIED;
            return;
        }
        if topic == Topic::Phone {
            self.verb = verb && (self.verb || self.said & Topic::Phone as u8 == 0);
        }
        self.said = self.said & !(DENIED | ENDED) | topic as u8;
    }
}

/// Also the capital letters of the languages, all of which UTF-8 writes with the same first byte.
fn lower_case(word: &mut [u8]) {
    word.make_ascii_lowercase();
    for at in 1..word.len() {
        if word[at - 1] == 0xC3 && matches!(word[at], 0x80..=0x9E) {
            word[at] += 0x20;
        }
    }
}

/// What one word says: as it stands, or else without its endings, or else by its last part.
fn meaning(word: &[u8]) -> Meaning {
    let stem = without_suffix(word);
    let root = stem.and_then(without_suffix);
    let forms = [Some(word), stem, root];
    if let Some(meaning) = forms.into_iter().flatten().find_map(words::exact) {
        return meaning;
    }
    for word in forms.into_iter().flatten() {
        let [first, .., last] = word else { continue };
        // Most words end and begin otherwise.
        let known = PART_ENDS[usize::from(*last)] || PART_STARTS[usize::from(*first)];
        let ends = |part: &&str| {
            let rest = word.strip_prefix(part.as_bytes());
            word.ends_with(part.as_bytes()) || rest.is_some_and(|rest| among(&RESTS, rest))
        };
        let part = PARTS.iter().filter(|_| known).find(|(parts, _)| parts.iter().any(ends));
        if let (Some((_, topic)), false) = (part, among(&OTHERS, word)) {
            return Meaning::Topic(*topic);
        }
    }
    Meaning::Other
}

/// A word without the first ending that fits, if more than a letter is left.
fn without_suffix(word: &[u8]) -> Option<&[u8]> {
    SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix.as_bytes())).filter(|stem| stem.len() > 1)
}
