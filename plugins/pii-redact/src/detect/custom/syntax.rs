//! What a pattern may be written with, and the tree that it is read into.

use super::LONGEST;

/// Syntax tree of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One byte of the set.
    Set(Box<[bool; 256]>),
    /// One after the other.
    Sequence(Vec<Node>),
    /// Any one of them.
    Either(Vec<Node>),
    /// At least so often, and at most.
    Repeat(Box<Node>, usize, Option<usize>),
}

impl Node {
    /// Reads a pattern. The error says what is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: pattern, depth: 0 };
        let node = parser.alternatives()?;
        if parser.rest.is_empty() { Ok(node) } else { Err("a `)` has no `(`".to_owned()) }
    }

    /// Bytes of the shortest match.
    pub(super) fn shortest(&self) -> usize {
        match self {
            Self::Set(_) => 1,
            Self::Sequence(nodes) => nodes.iter().map(Self::shortest).sum(),
            Self::Either(nodes) => nodes.iter().map(Self::shortest).min().unwrap_or(0),
            Self::Repeat(node, least, _) => node.shortest().saturating_mul(*least),
        }
    }

    /// Bytes of the longest match, `None` where there is no bound.
    pub(super) fn longest(&self) -> Option<usize> {
        match self {
            Self::Set(_) => Some(1),
            Self::Sequence(nodes) => nodes.iter().try_fold(0_usize, |sum, node| sum.checked_add(node.longest()?)),
            Self::Either(nodes) => nodes.iter().map(Self::longest).try_fold(0, |most, node| Some(most.max(node?))),
            Self::Repeat(node, _, most) => node.longest()?.checked_mul((*most)?),
        }
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
