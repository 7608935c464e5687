//! The operator's own patterns: a small regular-expression matcher that works on a stream.
//!
//! Supported: literals, `.`, classes with ranges and negation, `\d \w \s \D \W \S`, groups, `|`, `? * + {m} {m,} {m,n}`, and
//! `\b` at either end. A match has to be bounded, so that a stream is held back only so far: by the pattern itself, or by
//! `max_length`. The longest match counts. A position costs one step of a table ([`automaton`]) per byte that a match may
//! have; how often a byte may come to be read by that, the config bounds ([`MOST_READS`]).

mod automaton;
mod syntax;

use automaton::Automaton;
use syntax::Node;

use super::{Candidate, NeedMore, Verdict, is_word};

/// No pattern may need more than this many decoded bytes.
pub const LONGEST: usize = 512;
/// How often text that is made for it may have each of its bytes read by the patterns that start with the same byte.
pub const MOST_READS: usize = 256;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    automaton: Automaton,
    /// The bytes that a match may start with.
    first: Box<[bool; 256]>,
    word_before: bool,
    word_after: bool,
    max_length: usize,
}

impl Pattern {
    /// Compiles a pattern. The error says what is wrong with it.
    pub fn new(pattern: &str, max_length: Option<usize>) -> Result<Self, String> {
        let (inner, word_before) = pattern.strip_prefix("\\b").map_or((pattern, false), |rest| (rest, true));
        let word_after = inner.ends_with("\\b") && !inner.ends_with("\\\\b");
        let inner = if word_after { &inner[..inner.len() - 2] } else { inner };
        let node = Node::parse(inner)?;
        if node.shortest() == 0 {
            return Err("the pattern matches the empty text".to_owned());
        }
        let max_length = match (node.longest(), max_length) {
            (Some(longest), limit) => longest.min(limit.unwrap_or(longest)),
            (None, Some(limit)) => limit,
            (None, None) => return Err("the pattern has no longest match: give `max_length`".to_owned()),
        };
        if max_length > LONGEST {
            return Err(format!("matches may be {max_length} bytes long, at most {LONGEST} are held back"));
        }
        let automaton = Automaton::new(&node)?;
        let first = Box::new(std::array::from_fn(|byte| automaton.leads_on(automaton.start(), byte as u8)));
        Ok(Self { automaton, first, word_before, word_after, max_length })
    }

    /// The bytes that a match may start with.
    pub fn first_bytes(&self) -> &[bool; 256] {
        &self.first
    }

    /// How often a byte may be read: by each match that begins before it and isn't over. In the worst text one begins as
    /// soon as the one before has told its beginning apart from others.
    pub fn reads(&self) -> usize {
        let beginning = self.beginning();
        let repeats = |distance: &usize| beginning.starts_with(&beginning[*distance..]);
        let distance = (1..=beginning.len()).find(repeats).unwrap_or(1);
        // Between two starts that are borders of words, something else has to stand.
        let apart = if self.word_before && beginning.first().is_none_or(|byte| is_word(*byte)) { 2 } else { 1 };
        self.max_length.div_ceil(distance.max(apart))
    }

    /// The bytes that all matches begin with.
    fn beginning(&self) -> Vec<u8> {
        let (mut position, mut beginning) = (self.automaton.start(), Vec::new());
        while beginning.len() < self.max_length && !position.accepts() {
            let mut bytes = (0..=255).filter(|byte| self.automaton.leads_on(position, *byte));
            let (Some(byte), None) = (bytes.next(), bytes.next()) else { break };
            beginning.push(byte);
            position = self.automaton.step(position, byte);
        }
        beginning
    }

    /// The length of the longest match that starts here.
    pub fn find(&self, candidate: &Candidate<'_>) -> Verdict {
        if self.word_before && candidate.before.is_word()
            || !candidate.at(0)?.is_some_and(|byte| self.first[usize::from(byte)])
        {
            return Ok(None);
        }
        let (mut position, mut found) = (self.automaton.start(), None);
        let text = &candidate.text[..candidate.text.len().min(self.max_length)];
        for (index, &byte) in text.iter().enumerate() {
            position = self.automaton.step(position, byte);
            if position.is_notable() {
                if position.accepts() && self.may_end(candidate, index + 1)? {
                    found = Some(index + 1);
                }
                if position.is_last() {
                    return Ok(found);
                }
            }
        }
        if text.len() < self.max_length && !candidate.complete { Err(NeedMore) } else { Ok(found) }
    }

    fn may_end(&self, candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
        Ok(!self.word_after || !candidate.at(index)?.is_some_and(is_word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
        let pattern = Pattern::new(pattern, Some(20)).unwrap();
        pattern.find(&Candidate::whole(text.as_bytes())).unwrap().map(|length| &text[..length])
    }

    #[test]
    fn the_syntax() {
        for (pattern, text, expected) in [
            ("K-[0-9]{6}", "K-1234567", Some("K-123456")),
            ("K-[0-9]{6}\\b", "K-1234567", None),
            ("\\bK-\\d{6}\\b", "K-123456.", Some("K-123456")),
            ("a|abc|ab", "abcd", Some("abc")),
            ("(?:ab)+", "ababa", Some("abab")),
            ("x[^a-c]", "xø", Some("xø")),
            ("x[^a-c]", "xb", None),
            ("[æøå]b", "øb", Some("øb")),
            ("[\\w.]+", "a.b c", Some("a.b")),
            ("a{2,3}", "aaaa", Some("aaa")),
            ("a{2,}", "aaaa", Some("aaaa")),
            ("ab?c*", "a", Some("a")),
            ("\\.\\[\\]", ".[]", Some(".[]")),
            ("[]x-]+", "-]x", Some("-]x")),
            (".", "\n", None),
            ("a+", "aaaaaaaaaaaaaaaaaaaaaaaaa", Some("aaaaaaaaaaaaaaaaaaaa")),
            ("(a|b)(c|d)", "bd", Some("bd")),
        ] {
            assert_eq!(found(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (pattern, part) in [
            ("(a", "no `)`"),
            ("a)", "no `(`"),
            ("[a", "no `]`"),
            ("*", "repeats nothing"),
            ("a*", "empty text"),
            ("a+", "max_length"),
            ("^a", "anchor"),
            ("a{3,2}", "repetition"),
            ("[z-a]", "empty"),
            ("\\q", "not supported"),
            ("(?=a)b", "(?:"),
            ("a{512}b", "held back"),
            ("(?:(?:a{0,500}){0,500}){0,500}b", "held back"),
            ("[ab]{0,200}a[ab]{30}", "too large"),
        ] {
            let error = Pattern::new(pattern, None).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
        assert!(Pattern::new("((a{500}){500}){500}", Some(10)).unwrap_err().contains("too large"));
    }

    #[test]
    fn how_often_a_byte_may_be_read_goes_by_how_close_matches_may_begin() {
        for (pattern, max_length, reads) in [
            ("x[a-z ]+y", 512, 512),
            ("\\bx[a-z ]+y", 512, 256),
            ("eyJ[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+", 512, 171),
            ("https?://[^ ]+", 512, 128),
            ("aaa[a-z]+", 512, 512),
            ("abab[a-z]+", 512, 256),
            ("\\bK-[0-9]{6}\\b", 512, 4),
            ("[0-9]{11}", 512, 11),
            ("\\b[A-Z]{2}", 512, 1),
        ] {
            assert_eq!(Pattern::new(pattern, Some(max_length)).unwrap().reads(), reads, "{pattern}");
        }
    }

    #[test]
    fn waits_only_while_a_match_can_grow() {
        let pattern = Pattern::new("K-[0-9]{2}", None).unwrap();
        let cut = |text: &'static str| Candidate {
            text: text.as_bytes(),
            complete: false,
            before: super::super::Before::NOTHING,
        };
        assert_eq!(pattern.find(&cut("K-1")), Err(NeedMore));
        assert_eq!(pattern.find(&cut("K-12")), Ok(Some(4)));
        assert_eq!(pattern.find(&cut("Kx")), Ok(None));
        let first = pattern.first_bytes();
        assert!(first[usize::from(b'K')] && first.iter().filter(|&&byte| byte).count() == 1);
    }
}
