//! A message within a body: header fields, a blank line, a body of its own (RFC 5322, RFC 2046 section 5.1). The parts of a
//! multipart body are such messages, and so are `message/rfc822` and `application/http`.

use serde::{Deserialize, Serialize};

use super::coding::Coding;
use super::declared::{Declared, Kind};
use super::head::{self, Head, Next};
use super::node::{Node, Place, Run};
use super::recoded::Recoded;
use super::{Refused, Unreadable};
use crate::content::Format;
use crate::replace::Pseudonyms;
use crate::scanner::Scanner;

/// What a body is that its head gives no type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Default {
    /// What its first bytes look like.
    Sniffed,
    /// Text, as in mail.
    Text,
    /// A message, as in `multipart/digest`.
    Message,
}

/// Where in it the reader stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum At {
    /// Among the fields.
    Head,
    /// In one that is too long.
    Long(Box<Scanner>),
    Body(Node),
}

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    place: Place,
    default: Default,
    head: Head,
    at: At,
    /// Bytes of a field that isn't complete.
    held: Vec<u8>,
}

impl Message {
    pub(super) fn new(default: Default, place: &Place) -> Self {
        Self { place: place.clone(), default, head: Head::default(), at: At::Head, held: Vec::new() }
    }

    pub(super) fn held(&self) -> usize {
        let inner = match &self.at {
            At::Head => 0,
            At::Long(scanner) => scanner.held(),
            At::Body(body) => body.held(),
        };
        self.held.len() + inner
    }

    /// What comes may be another part to some readers: in a body that passes unread, it is read from here on.
    pub(super) fn doubt<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        let At::Body(body) = &mut self.at else { return Ok(()) };
        body.settle(run, out)?;
        match body {
            Node::Unread if self.place.unreadable == Unreadable::Block => return Err(Refused::Unreadable),
            Node::Unread => *body = Node::of_format(Format::Text, &self.place),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        if let At::Body(body) = &mut self.at {
            return body.append(run, chunk, last, out);
        }
        let mut raw = std::mem::take(&mut self.held);
        raw.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let rest = &raw[at..];
            at += match (&mut self.at, head::next(rest, last)) {
                (At::Body(body), _) => return body.append(run, rest, last, out),
                (At::Long(scanner), _) => {
                    // A line break waits for what follows it.
                    let end = head::end_of_field(rest);
                    let cut = rest.len() - usize::from(rest.ends_with(b"\n") && !last);
                    let ends = end.is_some() || last;
                    let part = &rest[..end.unwrap_or(cut)];
                    run.scan(scanner, part, ends, out)?;
                    match end {
                        None if !last => {
                            self.held = rest[part.len()..].to_vec();
                            return Ok(());
                        }
                        _ => self.at = At::Head,
                    }
                    part.len()
                }
                (At::Head, Next::Cut) => {
                    self.held = raw.split_off(at);
                    return Ok(());
                }
                (At::Head, Next::Field(length)) => {
                    head::field(run, &rest[..length], &mut self.head, out)?;
                    length
                }
                // There may be words in it that can't be read in pieces.
                (At::Head, Next::Long(_)) if self.place.unreadable == Unreadable::Block => {
                    return Err(Refused::Unreadable);
                }
                (At::Head, Next::Long(length)) => {
                    let mut scanner = Box::new(Scanner::new(Format::Text));
                    run.scan(&mut scanner, &rest[..length], false, out)?;
                    self.at = At::Long(scanner);
                    length
                }
                (At::Head, Next::End(length)) => {
                    out.extend_from_slice(&rest[..length]);
                    self.at = At::Body(self.body(run)?);
                    length
                }
            };
        }
    }

    /// What reads the body behind a head.
    fn body<P>(&self, run: &Run<'_, P>) -> Result<Node, Refused> {
        let head = &self.head;
        let place = self.place.inner(&head.name);
        let declared = match (&head.content_type, self.default) {
            (Some(content_type), _) => Declared::of([content_type.as_slice()]),
            (None, Default::Sniffed) => Declared::NOTHING,
            (None, Default::Text) => Declared::of_format(Format::Text),
            (None, Default::Message) => Declared { kind: Kind::Message, ..Declared::NOTHING },
        };
        let declared = declared.of_file(&head.file);
        let parted = matches!(declared.kind, Kind::Multipart { .. });
        let inner = if !head.name.is_empty() && run.rules.fields().lists_form_name(&head.name) {
            Node::swallowed()
        } else {
            Node::new(declared, &place)
        };
        let coding = head.encoding.as_deref().and_then(Coding::of_transfer).filter(|_| !parted);
        // RFC 2045 section 6.1; others, such as `x-uuencode`, are private.
        let plain = |encoding: &Vec<u8>| {
            let known: [&[u8]; 4] = [b"", b"7bit", b"8bit", b"binary"];
            known.iter().any(|name| encoding.eq_ignore_ascii_case(name))
        };
        match coding {
            None if !parted && place.unreadable == Unreadable::Block && !head.encoding.as_ref().is_none_or(plain) => {
                Err(Refused::Unreadable)
            }
            Some(_) if place.codings >= super::MOST_CODINGS && place.unreadable == Unreadable::Block => {
                Err(Refused::Unreadable)
            }
            Some(coding) if place.codings < super::MOST_CODINGS => {
                let place = place.coded();
                Ok(Node::Recoded(Box::new(Recoded::new(coding, &place, inner))))
            }
            _ => Ok(inner),
        }
    }
}
