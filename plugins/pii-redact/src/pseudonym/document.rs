//! A JSON document in a JSON string, as the arguments of tools are: its strings part links too.

use serde::{Deserialize, Serialize};

use super::link::Link;

/// Members whose strings hold a document. Any other string is for a reader, who may see it as a whole.
const NAMES: [&[u8]; 3] = [b"arguments", b"partial_json", b"input"];
const LONGEST_NAME: usize = 16;

/// What is known of the strings of a document that may hold others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    /// The start of the last string.
    last: Vec<u8>,
    /// That string was the name of what comes.
    named: bool,
}

impl Names {
    /// A raw byte in a string.
    pub(super) fn inside(&mut self, byte: u8) {
        if self.last.len() <= LONGEST_NAME {
            self.last.push(byte);
        }
    }

    /// A byte between strings.
    pub(super) fn outside(&mut self, byte: u8) {
        self.named = (self.named && byte.is_ascii_whitespace()) || byte == b':';
    }

    /// A string begins: the inner document, where it may hold one.
    pub(super) fn string(&mut self) -> Option<Inner> {
        let holds = self.named && NAMES.contains(&&self.last[..]);
        self.last.clear();
        self.named = false;
        holds.then_some(Inner::Start)
    }
}

/// The state of an inner document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Inner {
    Start,
    Outside,
    /// In a string; `true`: behind a backslash.
    Inside(bool),
}

impl Inner {
    /// Reads a byte of what the outer string says; none where that is no document after all.
    pub(super) fn read(self, byte: u8, link: &mut Link) -> Option<Self> {
        let next = match (self, byte) {
            (Self::Start, b'{' | b'[') => Some(Self::Outside),
            (Self::Start, _) => None,
            (Self::Outside, b'"') | (Self::Inside(false), b'"') => {
                *link = Link::default();
                return Some(if self == Self::Outside { Self::Inside(false) } else { Self::Outside });
            }
            (Self::Outside, _) => is_json(byte).then_some(Self::Outside),
            (Self::Inside(escape), _) => Some(Self::Inside(byte == b'\\' && !escape)),
        };
        // Only the bytes that white space is written with stand for it.
        let byte = if self == Self::Inside(true) && matches!(byte, b'n' | b'r' | b't') { b' ' } else { byte };
        link.read(byte);
        next
    }
}

/// What JSON has outside of strings.
pub(super) fn is_json(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_whitespace() || b"{}[]:,+-.eEtrufalsn\x1E\xEF\xBB\xBF".contains(&byte)
}
