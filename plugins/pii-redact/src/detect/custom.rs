//! The operator's own patterns: a small regular-expression matcher that works on a stream.
//!
//! Supported: literals, `.`, classes with ranges and negation, `\d \w \s \D \W \S`, groups, `|`, `? * + {m} {m,} {m,n}`, and
//! `\b` at either end. A match has to be bounded, so that a stream is held back only so far: by the pattern itself, or by
//! `max_length`. The matcher simulates all alternatives at once and takes the longest match. It never backtracks: a position
//! costs at most states times length, which a config may not take beyond [`MOST_STEPS`].

use std::cell::RefCell;

use super::{Candidate, NeedMore, Verdict, is_word};

/// No pattern may need more than this many decoded bytes.
pub const LONGEST: usize = 512;
/// States of a compiled pattern: bounds its memory.
const MOST_STATES: usize = 2000;
/// States times the length of a match: bounds the time per position.
const MOST_STEPS: usize = 1 << 15;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    states: Vec<State>,
    /// The bytes that a match may start with.
    first: Box<[bool; 256]>,
    /// The sets of states at this byte and the next: kept, because patterns are tried at every other byte.
    scratch: RefCell<(Active, Active)>,
    word_before: bool,
    word_after: bool,
    max_length: usize,
}

/// A state of the automaton.
#[derive(Clone, Debug)]
enum State {
    /// Takes a byte of the set and goes to the next state.
    Byte(Box<[bool; 256]>),
    /// Goes to both states without taking anything.
    Split(usize, usize),
    /// Goes on elsewhere.
    Jump(usize),
    Accept,
}

/// Syntax tree of a pattern.
#[derive(Clone, Debug)]
enum Node {
    Set(Box<[bool; 256]>),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Repeat(Box<Node>, usize, Option<usize>),
}

impl Pattern {
    /// Compiles a pattern. The error says what is wrong with it.
    pub fn new(pattern: &str, max_length: Option<usize>) -> Result<Self, String> {
        let (inner, word_before) = pattern.strip_prefix("\\b").map_or((pattern, false), |rest| (rest, true));
        let ends = inner.ends_with("\\b") && !inner.ends_with("\\\\b");
        let inner = if ends { &inner[..inner.len() - 2] } else { inner };
        let mut parser = Parser { rest: inner, depth: 0 };
        let node = parser.alternatives()?;
        if !parser.rest.is_empty() {
            return Err("a `)` has no `(`".to_owned());
        }
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
        let mut states = Vec::new();
        node.compile(&mut states)?;
        states.push(State::Accept);
        let steps = states.len() * max_length;
        if steps > MOST_STEPS {
            return Err(format!(
                "the pattern is too slow: {} states over {max_length} bytes are {steps} steps at a position, at most {MOST_STEPS} are allowed; use `+` and a smaller `max_length` in place of long repetitions",
                states.len()
            ));
        }
        let mut active = Active::new(states.len());
        active.enter(&states, 0);
        let mut first = Box::new([false; 256]);
        for &state in &active.list {
            if let State::Byte(set) = &states[state] {
                first.iter_mut().zip(set.iter()).for_each(|(first, in_set)| *first |= in_set);
            }
        }
        let scratch = RefCell::new((Active::new(states.len()), active));
        Ok(Self { states, first, scratch, word_before, word_after: ends, max_length })
    }

    /// The bytes that a match may start with.
    pub fn first_bytes(&self) -> &[bool; 256] {
        &self.first
    }

    /// The length of the longest match that starts here.
    pub fn find(&self, candidate: &Candidate<'_>) -> Verdict {
        if self.word_before && is_word(candidate.before[1])
            || !candidate.at(0)?.is_some_and(|byte| self.first[usize::from(byte)])
        {
            return Ok(None);
        }
        let mut scratch = self.scratch.borrow_mut();
        let (now, next) = &mut *scratch;
        now.clear();
        now.enter(&self.states, 0);
        let (mut index, mut found) = (0, None);
        loop {
            if now.accepting && self.may_end(candidate, index)? {
                found = Some(index);
            }
            if now.list.is_empty() || index == self.max_length {
                return Ok(found);
            }
            let Some(byte) = candidate.at(index)? else { return Ok(found) };
            next.clear();
            for &state in &now.list {
                if let State::Byte(set) = &self.states[state]
                    && set[usize::from(byte)]
                {
                    next.enter(&self.states, state + 1);
                }
            }
            std::mem::swap(now, next);
            index += 1;
        }
    }

    fn may_end(&self, candidate: &Candidate<'_>, index: usize) -> Result<bool, NeedMore> {
        Ok(!self.word_after || !candidate.at(index)?.is_some_and(is_word))
    }
}

/// The set of states that the automaton is in.
#[derive(Clone, Debug)]
struct Active {
    list: Vec<usize>,
    /// The round in which a state was entered last: starting the next round forgets them all at once.
    entered: Vec<u64>,
    round: u64,
    stack: Vec<usize>,
    accepting: bool,
}

impl Active {
    fn new(states: usize) -> Self {
        Self { list: Vec::new(), entered: vec![0; states], round: 1, stack: Vec::new(), accepting: false }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.round += 1;
        self.accepting = false;
    }

    /// Enters a state and all that it leads to without a byte.
    fn enter(&mut self, states: &[State], state: usize) {
        self.stack.push(state);
        while let Some(state) = self.stack.pop() {
            if std::mem::replace(&mut self.entered[state], self.round) == self.round {
                continue;
            }
            match &states[state] {
                State::Byte(_) => self.list.push(state),
                State::Split(first, second) => self.stack.extend([*first, *second]),
                State::Jump(target) => self.stack.push(*target),
                State::Accept => self.accepting = true,
            }
        }
    }
}

impl Node {
    fn shortest(&self) -> usize {
        match self {
            Self::Set(_) => 1,
            Self::Sequence(nodes) => nodes.iter().map(Self::shortest).sum(),
            Self::Either(nodes) => nodes.iter().map(Self::shortest).min().unwrap_or(0),
            Self::Repeat(node, least, _) => node.shortest().saturating_mul(*least),
        }
    }

    fn longest(&self) -> Option<usize> {
        match self {
            Self::Set(_) => Some(1),
            Self::Sequence(nodes) => nodes.iter().try_fold(0_usize, |sum, node| sum.checked_add(node.longest()?)),
            Self::Either(nodes) => nodes.iter().map(Self::longest).try_fold(0, |most, node| Some(most.max(node?))),
            Self::Repeat(node, _, most) => node.longest()?.checked_mul((*most)?),
        }
    }

    fn compile(&self, states: &mut Vec<State>) -> Result<(), String> {
        if states.len() > MOST_STATES {
            return Err(format!("the pattern is too large: more than {MOST_STATES} states"));
        }
        match self {
            Self::Set(set) => states.push(State::Byte(set.clone())),
            Self::Sequence(nodes) => nodes.iter().try_for_each(|node| node.compile(states))?,
            Self::Either(nodes) => {
                let mut jumps = Vec::new();
                for (order, node) in nodes.iter().enumerate() {
                    if order + 1 == nodes.len() {
                        node.compile(states)?;
                        break;
                    }
                    let split = states.len();
                    states.push(State::Accept);
                    node.compile(states)?;
                    jumps.push(states.len());
                    states.push(State::Accept);
                    states[split] = State::Split(split + 1, states.len());
                }
                let end = states.len();
                jumps.into_iter().for_each(|jump| states[jump] = State::Jump(end));
            }
            Self::Repeat(node, least, most) => {
                for _ in 0..*least {
                    node.compile(states)?;
                }
                match most {
                    None => {
                        let split = states.len();
                        states.push(State::Accept);
                        node.compile(states)?;
                        states.push(State::Jump(split));
                        states[split] = State::Split(split + 1, states.len());
                    }
                    Some(most) => {
                        let mut splits = Vec::new();
                        for _ in *least..*most {
                            splits.push(states.len());
                            states.push(State::Accept);
                            node.compile(states)?;
                        }
                        let end = states.len();
                        splits.into_iter().for_each(|split| states[split] = State::Split(split + 1, end));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads a pattern from left to right.
struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.strip_prefix(wanted).map(|rest| self.rest = rest).is_some()
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.sequence()?];
        while self.take('|') {
            nodes.push(self.sequence()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Either(nodes) })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let atom = self.atom()?;
            nodes.push(self.repeated(atom)?);
        }
        Ok(Node::Sequence(nodes))
    }

    fn atom(&mut self) -> Result<Node, String> {
        match self.next() {
            Some('(') => {
                if self.depth == 50 {
                    return Err("groups are nested too deeply".to_owned());
                }
                if self.rest.starts_with('?') && !self.rest.starts_with("?:") {
                    return Err("`(?…` is not supported, except `(?:`".to_owned());
                }
                self.rest = self.rest.strip_prefix("?:").unwrap_or(self.rest);
                self.depth += 1;
                let node = self.alternatives()?;
                self.depth -= 1;
                if self.take(')') { Ok(node) } else { Err("a `(` has no `)`".to_owned()) }
            }
            Some('[') => self.class(),
            Some('.') => Ok(Node::Either(any_character())),
            Some('\\') => match self.next() {
                None => Err("the pattern ends with a `\\`".to_owned()),
                Some(name) => match named_class(name) {
                    Some(set) => Ok(Node::Set(Box::new(set))),
                    None => escaped(name).map(literal),
                },
            },
            Some('^' | '$') => Err("`^` and `$` are not supported: a stream has no lines to anchor to".to_owned()),
            Some(found @ ('*' | '+' | '?' | '{')) => Err(format!("`{found}` repeats nothing")),
            Some(character) => Ok(literal(character)),
            None => Err("the pattern ends too early".to_owned()),
        }
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, String> {
        loop {
            let (least, most) = if self.take('?') {
                (0, Some(1))
            } else if self.take('*') {
                (0, None)
            } else if self.take('+') {
                (1, None)
            } else if self.take('{') {
                self.bounds()?
            } else {
                return Ok(node);
            };
            node = Node::Repeat(Box::new(node), least, most);
        }
    }

    fn bounds(&mut self) -> Result<(usize, Option<usize>), String> {
        let wrong = || "a repetition is `{m}`, `{m,}` or `{m,n}`, up to 512".to_owned();
        let (inside, rest) = self.rest.split_once('}').ok_or_else(wrong)?;
        self.rest = rest;
        let number = |text: &str| text.parse::<usize>().ok().filter(|&number| number <= LONGEST).ok_or_else(wrong);
        let (least, most) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        if most.is_some_and(|most| most < least) { Err(wrong()) } else { Ok((least, most)) }
    }

    fn class(&mut self) -> Result<Node, String> {
        let negated = self.take('^');
        let mut set = [false; 256];
        let mut others = Vec::new();
        let mut first = true;
        loop {
            let start = match self.next() {
                None => return Err("a `[` has no `]`".to_owned()),
                Some(']') if !first => break,
                Some('\\') => match self.next() {
                    None => return Err("a `[` has no `]`".to_owned()),
                    Some(name) => match named_class(name) {
                        Some(named) => {
                            set.iter_mut().zip(named).for_each(|(byte, in_named)| *byte |= in_named);
                            first = false;
                            continue;
                        }
                        None => escaped(name)?,
                    },
                },
                Some(character) => character,
            };
            first = false;
            let end = if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                match self.next() {
                    Some('\\') => self.next().ok_or("a `[` has no `]`".to_owned()).and_then(escaped)?,
                    Some(character) => character,
                    None => return Err("a `[` has no `]`".to_owned()),
                }
            } else {
                start
            };
            match (start, end) {
                (start, end) if start > end => return Err(format!("`{start}-{end}` is empty")),
                (start, end) if end.is_ascii() => (start as usize..=end as usize).for_each(|byte| set[byte] = true),
                (start, end) if start == end => others.push(literal(start)),
                _ => return Err("ranges of a class are ASCII; list other characters one by one".to_owned()),
            }
        }
        if negated {
            if !others.is_empty() {
                return Err("a negated class is ASCII".to_owned());
            }
            // Negation stays in ASCII plus whole characters of other scripts, so that no character is cut.
            set.iter_mut().take(128).for_each(|byte| *byte = !*byte);
            let mut nodes = any_character();
            nodes[0] = Node::Set(Box::new(set));
            return Ok(Node::Either(nodes));
        }
        if others.is_empty() {
            return Ok(Node::Set(Box::new(set)));
        }
        if set.iter().any(|&byte| byte) {
            others.push(Node::Set(Box::new(set)));
        }
        Ok(Node::Either(others))
    }
}

fn set_of(ranges: &[std::ops::RangeInclusive<u8>]) -> Box<[bool; 256]> {
    let mut set = Box::new([false; 256]);
    ranges.iter().cloned().flatten().for_each(|byte| set[usize::from(byte)] = true);
    set
}

/// Any character but a line feed, as the byte sequences of UTF-8.
fn any_character() -> Vec<Node> {
    let tail = || Node::Set(set_of(&[0x80..=0xBF]));
    vec![
        Node::Set(set_of(&[0..=9, 11..=0x7F])),
        Node::Sequence(vec![Node::Set(set_of(&[0xC2..=0xDF])), tail()]),
        Node::Sequence(vec![Node::Set(set_of(&[0xE0..=0xEF])), tail(), tail()]),
        Node::Sequence(vec![Node::Set(set_of(&[0xF0..=0xF4])), tail(), tail(), tail()]),
    ]
}

fn literal(character: char) -> Node {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    Node::Sequence(bytes.map(|byte| Node::Set(set_of(&[byte..=byte]))).collect())
}

fn named_class(name: char) -> Option<[bool; 256]> {
    let mut set = *match name.to_ascii_lowercase() {
        'd' => set_of(&[b'0'..=b'9']),
        'w' => set_of(&[b'0'..=b'9', b'a'..=b'z', b'A'..=b'Z', b'_'..=b'_']),
        's' => set_of(&[b'\t'..=b'\r', b' '..=b' ']),
        _ => return None,
    };
    if name.is_ascii_uppercase() {
        set.iter_mut().take(128).for_each(|byte| *byte = !*byte);
    }
    Some(set)
}

fn escaped(name: char) -> Result<char, String> {
    match name {
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        name if name.is_ascii_alphanumeric() => Err(format!("`\\{name}` is not supported here")),
        name => Ok(name),
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
            ("a{0,300}b", "too slow"),
        ] {
            let error = Pattern::new(pattern, None).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
        assert!(Pattern::new("((a{500}){500}){500}", Some(10)).unwrap_err().contains("too large"));
    }

    #[test]
    fn waits_only_while_a_match_can_grow() {
        let pattern = Pattern::new("K-[0-9]{2}", None).unwrap();
        let cut = |text: &'static str| Candidate { text: text.as_bytes(), complete: false, before: [b' '; 2] };
        assert_eq!(pattern.find(&cut("K-1")), Err(NeedMore));
        assert_eq!(pattern.find(&cut("K-12")), Ok(Some(4)));
        assert_eq!(pattern.find(&cut("Kx")), Ok(None));
        let first = pattern.first_bytes();
        assert!(first[usize::from(b'K')] && first.iter().filter(|&&byte| byte).count() == 1);
    }
}
