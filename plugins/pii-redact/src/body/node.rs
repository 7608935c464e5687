//! One reader of the tree, and the choice of it.

use serde::{Deserialize, Serialize};

use super::charset::Label;
use super::choice::{Decision, decide};
use super::columns::Columns;
use super::declared::{Declared, Kind};
use super::field::Swallowed;
use super::form::Form;
use super::message::{self, Message};
use super::multipart::Multipart;
use super::recoded::Recoded;
use super::sniff;
use super::table::Table;
use super::transcoded::Transcoded;
use super::{MOST_DEPTH, Refused, Unreadable};
use crate::content::Format;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::Outcome;
use crate::texts::Texts;

/// Bytes of a name that are remembered.
const LONGEST_NAME: usize = 128;

/// What a call works with.
pub(super) struct Run<'a, P> {
    pub(super) rules: &'a Rules,
    pub(super) pseudonyms: &'a P,
    pub(super) counts: &'a mut Vec<u32>,
    /// What can't be read is refused.
    pub(super) refuses: bool,
}

impl<P> Run<'_, P> {
    /// Adds what was found to what was found before.
    pub(super) fn count(&mut self, found: &[u32]) {
        if self.counts.len() < found.len() {
            self.counts.resize(found.len(), 0);
        }
        self.counts.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
}

/// Where in a message a node stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// The name of what it reads, as a form's field or a column has one.
    pub(super) name: Vec<u8>,
    /// Containers around it.
    pub(super) depth: u8,
    /// Transfer encodings around it.
    pub(super) codings: u8,
    pub(super) unreadable: Unreadable,
    /// Values return to it in the place of their placeholders.
    pub(super) restores: bool,
}

impl Place {
    pub(super) fn top(unreadable: Unreadable, restores: bool) -> Self {
        Self { name: Vec::new(), depth: 0, codings: 0, unreadable, restores }
    }

    /// The place of what is in a container that stands here.
    pub(super) fn inner(&self, name: &[u8]) -> Self {
        // A longer one ends in what it is about.
        let name = &name[name.len().saturating_sub(LONGEST_NAME)..];
        Self { name: name.to_vec(), depth: self.depth + 1, ..*self }
    }

    /// The place of what is in a transfer encoding that stands here.
    pub(super) fn coded(&self) -> Self {
        Self { name: self.name.clone(), codings: self.codings + 1, ..*self }
    }
}

/// A reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Node {
    /// Before the bytes that say what it is.
    Start(Box<Start>),
    /// Passes unread.
    Unread,
    Scanned(Texts),
    Transcoded(Box<Transcoded>),
    Recoded(Box<Recoded>),
    Form(Box<Form>),
    Table(Box<Table>),
    Columns(Box<Columns>),
    Multipart(Box<Multipart>),
    Message(Box<Message>),
    Swallowed(Swallowed),
}

/// A body whose first bytes aren't all there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Start {
    declared: Declared,
    place: Place,
    held: Vec<u8>,
}

impl Node {
    pub(super) fn new(declared: Declared, place: &Place) -> Self {
        // Event streams are UTF-8 whatever they say (HTML standard, section 9.2.5).
        let events = declared.kind == Kind::Read(Format::Events);
        let declared = if events { Declared::of_format(Format::Events) } else { declared };
        Self::Start(Box::new(Start { declared, place: place.clone(), held: Vec::new() }))
    }

    fn scanned(format: Format, place: &Place) -> Self {
        let mut texts = Texts::new(format, place.restores);
        texts.set_name(&place.name);
        Self::Scanned(texts)
    }

    /// The reader of what is known to be UTF-8 of this kind.
    fn of(kind: Kind, place: &Place) -> Self {
        if place.depth > MOST_DEPTH {
            return Self::scanned(Format::Text, place);
        }
        match kind {
            Kind::Read(Format::Form) if !place.restores => Self::Form(Box::new(Form::new(place))),
            Kind::Read(format) => Self::scanned(format, place),
            Kind::Table(delimiter) => Self::Table(Box::new(Table::new(delimiter))),
            Kind::Columns(layout) => Self::Columns(Box::new(Columns::new(layout, place.restores, &place.name))),
            Kind::Multipart { boundary, digest } => {
                let default = if digest { message::Default::Message } else { message::Default::Sniffed };
                Self::Multipart(Box::new(Multipart::new(&boundary, default, &place.inner(b""))))
            }
            Kind::Message => Self::Message(Box::new(Message::new(message::Default::Text, &place.inner(b"")))),
            Kind::Plain | Kind::Sniffed | Kind::Binary(_) | Kind::Unreadable => Self::scanned(Format::Text, place),
        }
    }

    /// What reads UTF-8 of a format.
    pub(super) fn of_format(format: Format, place: &Place) -> Self {
        Self::of(Kind::Read(format), place)
    }

    /// What leaves a listed field's value out.
    pub(super) fn swallowed() -> Self {
        Self::Swallowed(Swallowed::default())
    }

    /// How many bytes wait, here and below.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Start(start) => start.held.len(),
            Self::Unread => 0,
            Self::Scanned(texts) => texts.held(),
            Self::Transcoded(transcoded) => transcoded.held(),
            Self::Recoded(recoded) => recoded.held(),
            Self::Form(form) => form.held(),
            Self::Table(table) => table.held(),
            Self::Columns(columns) => columns.held(),
            Self::Multipart(multipart) => multipart.held(),
            Self::Message(message) => message.held(),
            Self::Swallowed(_) => 0,
        }
    }

    /// As [`super::Body::push`], but what goes on unchanged may be written as well.
    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refused> {
        let written = |result: Result<(), Refused>| result.map(|()| Outcome::Rewritten);
        let text = matches!(self, Self::Scanned(_) | Self::Columns(_) | Self::Form(_) | Self::Table(_));
        if run.refuses && text && sniff::is_no_text(chunk) {
            return Err(Refused::Unreadable);
        }
        match self {
            Self::Start(start) => {
                if start.held.is_empty() && chunk.is_empty() {
                    return Ok(Outcome::Unchanged);
                }
                let seen = start.held.len();
                start.held.extend_from_slice(&chunk[..chunk.len().min(2 * sniff::MOST)]);
                let Some(decision) = decide(&start.declared, &start.held, last) else { return Ok(Outcome::Rewritten) };
                start.held.truncate(seen);
                let held = std::mem::take(&mut start.held);
                *self = decision.node(start)?;
                if held.is_empty() {
                    return self.push(run, chunk, last, out);
                }
                self.append(run, &held, false, out)?;
                self.append(run, chunk, last, out)?;
                Ok(Outcome::Rewritten)
            }
            Self::Unread => Ok(Outcome::Unchanged),
            Self::Scanned(texts) => {
                let outcome = texts.push(run.rules, run.pseudonyms, chunk, last, out);
                run.count(&texts.take_counts());
                Ok(outcome?)
            }
            Self::Transcoded(transcoded) => written(transcoded.push(run, chunk, last, out)),
            Self::Recoded(recoded) => written(recoded.push(run, chunk, last, out)),
            Self::Form(form) => written(form.push(run, chunk, last, out)),
            Self::Table(table) => written(table.push(run, chunk, last, out)),
            Self::Columns(columns) => columns.push(run, chunk, last, out),
            Self::Multipart(multipart) => written(multipart.push(run, chunk, last, out)),
            Self::Message(message) => written(message.push(run, chunk, last, out)),
            Self::Swallowed(swallowed) => written(swallowed.push(run, out)),
        }
    }

    /// Decides by the bytes that are there what this is.
    pub(super) fn settle<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        if let Self::Start(start) = self
            && let Some(decision) = decide(&start.declared, &start.held, true)
        {
            let held = std::mem::take(&mut start.held);
            *self = decision.node(start)?;
            self.append(run, &held, false, out)?;
        }
        Ok(())
    }

    /// As [`Self::push`], with everything that goes on written.
    pub(super) fn append<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if self.push(run, chunk, last, out)? == Outcome::Unchanged {
            out.extend_from_slice(chunk);
        }
        Ok(())
    }
}

impl Decision {
    fn node(self, start: &Start) -> Result<Node, Refused> {
        let Start { declared, place, .. } = start;
        let opens = matches!(self, Self::Charset(_) | Self::Read(Kind::Multipart { .. } | Kind::Message));
        match self {
            _ if opens && place.depth > MOST_DEPTH && place.unreadable == Unreadable::Block => Err(Refused::Unreadable),
            Self::Charset(_) if place.depth > MOST_DEPTH => Ok(Node::of_format(Format::Text, place)),
            Self::Charset(charset) => {
                let inner = Declared { kind: declared.kind.clone(), label: Label::Ascii };
                let inner = match inner.kind {
                    // Binary content has no charset.
                    Kind::Binary(_) => Declared::NOTHING,
                    _ => inner,
                };
                Ok(Node::Transcoded(Box::new(Transcoded::new(charset, Node::new(inner, &place.inner(&place.name))))))
            }
            Self::Read(kind) => Ok(Node::of(kind, place)),
            Self::Unread => Ok(Node::Unread),
            Self::Unreadable | Self::Doubtful(_) if place.unreadable == Unreadable::Block => Err(Refused::Unreadable),
            Self::Doubtful(kind) => Ok(Node::of(kind, place)),
            Self::Unreadable => Ok(Node::Unread),
        }
    }
}
