//! Header blocks of HTTP/2 (RFC 7541) as far as one question goes: does one have a pseudo-header field? h2, which decodes
//! them for good, takes such fields out of trailers without a word.
//!
//! Nothing is decoded but lengths. Of an entry of the dynamic table its size is kept, the length of its name, and whether
//! that is a pseudo-header's: with those, what enters and leaves the table is known exactly. Literals that don't enter it are
//! skipped. A block may be cut anywhere.

use std::collections::VecDeque;

use super::huffman::Symbols;

/// The size of the dynamic table that clients may use: what HTTP/2 begins with (RFC 9113 section 6.5.2). The listener
/// announces no other.
const TABLE: usize = 4096;
/// What an entry counts for beside its name and value (RFC 7541 section 4.1).
const OVERHEAD: usize = 32;
/// Bytes of an integer at most, the first included, as h2 has it: values stay below 2^29.
const MAX_INTEGER: u32 = 5;

/// A block that is none, or that h2 does not take for one: it ends the connection then (RFC 9113 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What has to be known of a name. Of one that does not enter the table, the length is any.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    length: usize,
    pseudo: bool,
}

/// What is kept of an entry of the dynamic table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    size: u16,
    name: u16,
    pseudo: bool,
}

/// The dynamic table (RFC 7541 section 2.3.2), the newest entry first.
#[derive(Debug)]
struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
}

impl Table {
    /// Makes room, and takes the entry in where that is possible (RFC 7541 section 4.4).
    fn insert(&mut self, name: Name, value: usize) {
        let size = name.length.saturating_add(value).saturating_add(OVERHEAD);
        self.evict(self.limit.saturating_sub(size));
        if size > self.limit {
            return;
        }
        // As large as the table at most.
        let (Ok(small), Ok(length)) = (u16::try_from(size), u16::try_from(name.length)) else { return };
        self.size += size;
        self.entries.push_front(Entry { size: small, name: length, pseudo: name.pseudo });
    }

    /// RFC 7541 section 4.3.
    fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(limit);
    }

    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= usize::from(oldest.size);
        }
    }

    fn name(&self, index: usize) -> Result<Name, Unreadable> {
        let index = index.checked_sub(1).ok_or(Unreadable)?;
        if let Some(name) = STATIC.get(index) {
            return Ok(Name { length: name.len(), pseudo: index < PSEUDO });
        }
        let entry = self.entries.get(index - STATIC.len()).ok_or(Unreadable)?;
        Ok(Name { length: usize::from(entry.name), pseudo: entry.pseudo })
    }
}

/// What a representation does (RFC 7541 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A field of the table.
    Indexed,
    /// A literal that enters the table.
    Entering,
    /// A literal that doesn't.
    Passing,
    /// Another size of the table.
    Resize,
}

/// Which of a literal's strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The first of a representation.
    First,
    /// One more of the representation's integer.
    Index(Integer),
    /// The first of a string's length.
    Length(Part),
    /// One more of it.
    LongLength(Part, Integer),
    /// One of a string of so many bytes, of which so many are left.
    Text { part: Part, length: usize, left: usize },
}

/// An integer of which some has come (RFC 7541 section 5.1).
#[derive(Clone, Copy, Debug)]
struct Integer {
    value: usize,
    bytes: u32,
}

impl Integer {
    /// The first byte. Ready where the value fits into it.
    const fn begin(byte: u8, bits: u32) -> (Self, bool) {
        let mask = (1 << bits) - 1;
        let value = (byte as usize) & mask;
        (Self { value, bytes: 1 }, value < mask)
    }

    /// Another byte. True with the last one.
    fn push(&mut self, byte: u8) -> Result<bool, Unreadable> {
        self.value += usize::from(byte & 0x7f) << (7 * (self.bytes - 1));
        self.bytes += 1;
        match (byte & 0x80 == 0, self.bytes < MAX_INTEGER) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(Unreadable),
        }
    }
}

/// Reads the blocks of one side of a connection, each of them: the table depends on all.
#[derive(Debug)]
pub(crate) struct Skimmer {
    table: Table,
    step: Step,
    kind: Kind,
    name: Name,
    /// Whether the string at hand is in Huffman code, and how long it is decoded.
    huffman: bool,
    symbols: Symbols,
    /// Whether the block has had a pseudo-header field.
    pseudo: bool,
}

impl Skimmer {
    /// At the beginning of a connection.
    pub(crate) fn new() -> Self {
        Self {
            table: Table { entries: VecDeque::new(), size: 0, limit: TABLE },
            step: Step::First,
            kind: Kind::Indexed,
            name: Name::default(),
            huffman: false,
            symbols: Symbols::default(),
            pseudo: false,
        }
    }

    /// Reads the next bytes of a block.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Unreadable> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.step {
                Step::First => self.begin(byte)?,
                Step::Index(mut integer) => {
                    let whole = integer.push(byte)?;
                    self.index(integer, whole)?;
                }
                Step::Length(part) => {
                    self.huffman = byte & 0x80 != 0;
                    let (integer, whole) = Integer::begin(byte, 7);
                    self.length(part, integer, whole)?;
                }
                Step::LongLength(part, mut integer) => {
                    let whole = integer.push(byte)?;
                    self.length(part, integer, whole)?;
                }
                Step::Text { part, length, left } => {
                    let (text, rest) = bytes.split_at(left.min(bytes.len()));
                    self.text(part, length, left, text)?;
                    bytes = rest;
                    continue;
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    /// The block has ended. Whether it had a pseudo-header field.
    pub(crate) fn end(&mut self) -> Result<bool, Unreadable> {
        match self.step {
            Step::First => Ok(std::mem::take(&mut self.pseudo)),
            _ => Err(Unreadable),
        }
    }

    fn begin(&mut self, byte: u8) -> Result<(), Unreadable> {
        let (kind, bits) = match byte {
            0x80.. => (Kind::Indexed, 7),
            0x40.. => (Kind::Entering, 6),
            0x20.. => (Kind::Resize, 5),
            _ => (Kind::Passing, 4),
        };
        self.kind = kind;
        let (integer, whole) = Integer::begin(byte, bits);
        self.index(integer, whole)
    }

    /// The integer that a representation begins with.
    fn index(&mut self, integer: Integer, whole: bool) -> Result<(), Unreadable> {
        if !whole {
            self.step = Step::Index(integer);
            return Ok(());
        }
        self.step = match (self.kind, integer.value) {
            (Kind::Resize, limit) if limit > TABLE => return Err(Unreadable),
            (Kind::Resize, limit) => {
                self.table.resize(limit);
                Step::First
            }
            (Kind::Indexed, index) => {
                self.pseudo |= self.table.name(index)?.pseudo;
                Step::First
            }
            (Kind::Entering | Kind::Passing, 0) => Step::Length(Part::Name),
            (Kind::Entering | Kind::Passing, index) => {
                self.name = self.table.name(index)?;
                Step::Length(Part::Value)
            }
        };
        Ok(())
    }

    fn length(&mut self, part: Part, integer: Integer, whole: bool) -> Result<(), Unreadable> {
        if !whole {
            self.step = Step::LongLength(part, integer);
            return Ok(());
        }
        self.symbols = Symbols::default();
        self.text(part, integer.value, integer.value, &[])
    }

    /// Some of a string of which so much was left before.
    fn text(&mut self, part: Part, length: usize, left: usize, text: &[u8]) -> Result<(), Unreadable> {
        if part == Part::Name && left == length {
            match text.first() {
                Some(first) if self.huffman => self.name.pseudo = is_coded_colon(*first),
                Some(first) => self.name.pseudo = *first == b':',
                // There is no field without a name.
                None if length == 0 => return Err(Unreadable),
                None => {}
            }
        }
        // What passes needs no length.
        if self.huffman && self.kind == Kind::Entering {
            self.symbols.count(text).ok_or(Unreadable)?;
        }
        let left = left - text.len();
        self.step = Step::Text { part, length, left };
        if left > 0 {
            return Ok(());
        }
        let length = if self.huffman { self.symbols.number() } else { length };
        match part {
            Part::Name => {
                self.name.length = length;
                self.step = Step::Length(Part::Value);
            }
            Part::Value => {
                self.pseudo |= self.name.pseudo;
                if self.kind == Kind::Entering {
                    self.table.insert(self.name, length);
                }
                self.step = Step::First;
            }
        }
        Ok(())
    }

    /// Sizes of the table's entries, the newest first, and whether each is a pseudo-header field's.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, bool)> {
        self.table.entries.iter().map(|entry| (usize::from(entry.size), entry.pseudo))
    }
}

/// Whether a string in Huffman code begins with a colon, by its first byte (RFC 7541 appendix B: `:` is 1011100).
const fn is_coded_colon(first: u8) -> bool {
    first >> 1 == 0b101_1100
}

/// Entries of the static table that are pseudo-header fields: the first ones.
const PSEUDO: usize = 14;

/// The names of the static table (RFC 7541 appendix A).
#[rustfmt::skip]
pub(crate) const STATIC: [&str; 61] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme", ":scheme",
    ":status", ":status", ":status", ":status", ":status", ":status", ":status",
    "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept", "access-control-allow-origin",
    "age", "allow", "authorization", "cache-control", "content-disposition", "content-encoding", "content-language",
    "content-length", "content-location", "content-range", "content-type", "cookie", "date", "etag", "expect", "expires",
    "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
    "link", "location", "max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh",
    "retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via",
    "www-authenticate",
];
