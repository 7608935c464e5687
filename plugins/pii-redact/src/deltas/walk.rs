//! Walks an event along the known paths: which texts it has, where they stand, and which of them it ends.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::json::{self, Cursor, Stop};
use super::paths::{Elements, Paths, ROOT};
use super::units::Framing;

/// Members of an event that tell its text apart: the block of a message (Anthropic), the output, its part and its summary
/// (OpenAI Responses). Its `item_id` isn't among them: some gateways write another one in each event.
const MARKS: [&[u8]; 4] = [b"index", b"output_index", b"content_index", b"summary_index"];
/// What the types of events end in that end the texts that they name: `content_block_stop`, `response.output_text.done`, …
const ENDINGS: [&str; 8] = ["error", ".done", ".completed", ".failed", ".incomplete", ".cancelled", "_stop", "-end"];

/// A text that goes on from event to event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Id {
    /// Its path.
    pub(super) node: u16,
    /// Which elements of the arrays on it, as hashes of their indices.
    elements: Vec<u64>,
    /// The event's type and marks.
    kind: u64,
    marks: [Option<u64>; MARKS.len()],
    /// What tells texts in one place apart: thoughts from answers, arguments by their paths (Gemini).
    aside: u64,
    /// It is the arguments of a tool.
    pub(super) document: bool,
}

/// A text in an event.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) id: Id,
    /// Its raw bytes, without the quotes.
    pub(super) span: Range<usize>,
    /// It isn't closed where the bytes end.
    pub(super) open: bool,
}

/// Something that repeats texts of its event in another form.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    pub(super) span: Range<usize>,
    /// Which texts, by their number; none: all of the stream.
    pub(super) leaves: Option<Range<usize>>,
}

/// What an event holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) leaves: Vec<Leaf>,
    pub(super) echoes: Vec<Echo>,
    /// Containers of which the event says that they are finished.
    finished: Vec<(u16, Vec<u64>)>,
    /// The event ends all texts with which its marks agree.
    ends: bool,
    marks: [Option<u64>; MARKS.len()],
}

impl Found {
    /// Whether the event ends something.
    pub(super) fn ends_any(&self) -> bool {
        self.ends || !self.finished.is_empty()
    }

    /// Whether it ends this text; `finish`: by a finish reason too.
    pub(super) fn ends(&self, id: &Id, paths: &Paths, finish: bool) -> bool {
        let agrees = || self.marks.iter().zip(&id.marks).all(|(a, b)| a.is_none() || b.is_none() || a == b);
        let within =
            |(node, elements): &(u16, Vec<u64>)| paths.is_below(id.node, *node) && id.elements.starts_with(elements);
        (self.ends && agrees()) || (finish && self.finished.iter().any(within))
    }
}

/// Walks an event. What is no JSON, and what is cut unless `cut` allows it, holds nothing.
pub(super) fn walk(paths: &Paths, event: &[u8], framing: Framing, cut: bool) -> Found {
    if paths.is_empty() {
        return Found::default();
    }
    let mut walk = Walk { paths, cursor: Cursor::new(event, framing), elements: Vec::new(), found: Found::default() };
    let data = event[walk.cursor.at..].trim_ascii();
    if data == b"[DONE]" || (framing == Framing::Array && data.ends_with(b"]")) {
        return Found { ends: true, ..Found::default() };
    }
    let mut event_type = Vec::new();
    let mut result = walk.value(ROOT, false, &mut event_type);
    if result.is_ok() && walk.cursor.peek() != Err(Stop::Cut) {
        result = Err(Stop::Not);
    }
    if !(result.is_ok() || (cut && result == Err(Stop::Cut))) {
        return Found::default();
    }
    let mut found = walk.found;
    let kind = String::from_utf8_lossy(&event_type);
    found.ends |= ENDINGS.iter().any(|ending| kind.ends_with(ending));
    if kind.ends_with("audio.delta") {
        // Sound, not text (OpenAI Responses and Realtime).
        found.leaves.retain(|leaf| !leaf.id.elements.is_empty());
    }
    for leaf in &mut found.leaves {
        leaf.id.kind = hash(0, &event_type);
        leaf.id.document = paths.is_document(leaf.id.node) || kind.ends_with("arguments.delta");
        leaf.id.marks = found.marks;
    }
    found
}

struct Walk<'a> {
    paths: &'a Paths,
    cursor: Cursor<'a>,
    elements: Vec<u64>,
    found: Found,
}

/// What the members of an object say of the texts in it.
#[derive(Default)]
struct Told {
    index: Option<u64>,
    aside: u64,
}

impl Walk<'_> {
    /// A value at a node; `element`: of an array whose elements are told apart.
    fn value(&mut self, node: u16, element: bool, kind: &mut Vec<u8>) -> Result<(), Stop> {
        match self.cursor.peek()? {
            b'"' if self.paths.is_text(node) => self.leaf(node),
            b'{' if self.paths.has_children(node) => self.object(node, element, kind),
            b'[' if self.paths.elements(node).is_some() => self.array(node, kind),
            _ => self.cursor.skip().map(drop),
        }
    }

    fn leaf(&mut self, node: u16) -> Result<(), Stop> {
        let start = self.cursor.at + 1;
        let read = self.cursor.string();
        let end = match read {
            Ok((_, end)) => end,
            Err(Stop::Cut) => self.cursor.raw.len(),
            Err(Stop::Not) => return Err(Stop::Not),
        };
        let id = Id { node, elements: self.elements.clone(), ..Id::default() };
        self.found.leaves.push(Leaf { id, span: start..end, open: read.is_err() });
        read.map(drop)
    }

    fn array(&mut self, node: u16, kind: &mut Vec<u8>) -> Result<(), Stop> {
        let Some((elements, child)) = self.paths.elements(node) else { return self.cursor.skip().map(drop) };
        self.cursor.at += 1;
        if self.cursor.eat(b']')? {
            return Ok(());
        }
        for position in 0_usize.. {
            let apart = elements == Elements::Apart;
            if apart {
                self.elements.push(hash(0, position.to_string().as_bytes()));
            }
            let read = self.value(child, apart, kind);
            if apart {
                self.elements.pop();
            }
            read?;
            if self.cursor.eat(b']')? {
                break;
            }
            if !self.cursor.eat(b',')? {
                return Err(Stop::Not);
            }
        }
        Ok(())
    }

    fn object(&mut self, node: u16, element: bool, kind: &mut Vec<u8>) -> Result<(), Stop> {
        let (leaves, finished) = (self.found.leaves.len(), self.found.finished.len());
        let depth = self.elements.len();
        let mut told = Told::default();
        let mut echoes = Vec::new();
        // Also where the object is cut, for what came before.
        let read = self.members(node, &mut told, &mut echoes, kind);
        let of_these = self.found.leaves[leaves..].iter_mut();
        of_these.for_each(|leaf| leaf.id.aside = leaf.id.aside.rotate_left(1) ^ told.aside);
        if let (true, Some(index)) = (element, told.index) {
            let of_leaves = self.found.leaves[leaves..].iter_mut().map(|leaf| &mut leaf.id.elements);
            let of_ends = self.found.finished[finished..].iter_mut().map(|(_, elements)| elements);
            of_leaves.chain(of_ends).for_each(|elements| elements[depth - 1] = index);
        }
        let range = leaves..self.found.leaves.len();
        self.found.echoes.extend(echoes.into_iter().map(|span| Echo { span, leaves: Some(range.clone()) }));
        read
    }

    fn members(
        &mut self,
        node: u16,
        told: &mut Told,
        echoes: &mut Vec<Range<usize>>,
        kind: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        self.cursor.at += 1;
        if self.cursor.eat(b'}')? {
            return Ok(());
        }
        loop {
            let (start, end) = self.cursor.string()?;
            let raw = self.cursor.raw;
            let name = json::decode(&raw[start..end], &mut Vec::new());
            if !self.cursor.eat(b':')? {
                return Err(Stop::Not);
            }
            match self.paths.member(node, &name) {
                Some(child) => self.value(child, false, kind)?,
                None => {
                    let start = self.cursor.skip()?;
                    self.other(node, &name, start..self.cursor.at, told, echoes, kind);
                }
            }
            if self.cursor.eat(b'}')? {
                return Ok(());
            }
            if !self.cursor.eat(b',')? {
                return Err(Stop::Not);
            }
        }
    }

    /// A member that is no text itself, but may say something of one.
    fn other(
        &mut self,
        node: u16,
        name: &[u8],
        span: Range<usize>,
        told: &mut Told,
        echoes: &mut Vec<Range<usize>>,
        kind: &mut Vec<u8>,
    ) {
        let value = &self.cursor.raw[span.clone()];
        match name {
            // Some write an empty one as long as there is none.
            b"finish_reason" | b"finishReason" if !matches!(value, b"null" | b"\"\"") => {
                self.found.finished.push((node, self.elements.clone()));
            }
            b"logprobs" | b"logprobsResult" if repeats(value) => echoes.push(span),
            b"thought" if value == b"true" => told.aside ^= hash(1, value),
            b"jsonPath" => told.aside ^= hash(2, value),
            b"type" if node == ROOT => *kind = value.trim_ascii().trim_quotes().to_vec(),
            b"done" if node == ROOT => self.found.ends |= value == b"true",
            // Nothing comes behind it, or nobody reads it.
            b"error" if node == ROOT => self.found.ends |= value != b"null",
            // The whole conversation as the numbers of its tokens (Ollama).
            b"context" if node == ROOT && repeats(value) => {
                self.found.echoes.push(Echo { span, leaves: None });
            }
            _ => {
                if name == MARKS[0] {
                    told.index = Some(hash(0, value));
                }
                if let (ROOT, Some(mark)) = (node, MARKS.iter().position(|mark| *mark == name)) {
                    self.found.marks[mark] = Some(hash(0, value));
                }
            }
        }
    }
}

/// Whether a value is a container with something in it.
fn repeats(value: &[u8]) -> bool {
    matches!(value, [b'{' | b'[', rest @ .., _] if !rest.trim_ascii().is_empty())
}

trait Quoted {
    fn trim_quotes(&self) -> &[u8];
}

impl Quoted for [u8] {
    fn trim_quotes(&self) -> &[u8] {
        self.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(self)
    }
}

/// FNV-1a. Only equality matters, and who finds two texts with one hash mixes up only his own.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, step)
}
