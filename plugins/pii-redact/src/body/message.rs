//! A message within a body: header fields, a blank line, a body of its own (RFC 5322, RFC 2046 section 5.1). The parts of a
//! multipart body are such messages, and so are `message/rfc822` and `application/http`.

use serde::{Deserialize, Serialize};

use super::coding::Coding;
use super::declared::{Declared, Kind};
use super::head::{self, Head};
use super::node::{Node, Place, Run};
use super::recoded::Recoded;
use super::{Refused, Unreadable};
use crate::content::Format;
use crate::replace::Pseudonyms;

/// Bytes of a head. What is longer is none, and read as text.
const LONGEST_HEAD: usize = 8 << 10;

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

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    place: Place,
    default: Default,
    head: Vec<u8>,
    body: Option<Node>,
}

impl Message {
    pub(super) fn new(default: Default, place: &Place) -> Self {
        Self { place: place.clone(), default, head: Vec::new(), body: None }
    }

    pub(super) fn held(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, Node::held)
    }

    /// What comes may be another part to some readers: in a body that passes unread, it is read from here on.
    pub(super) fn doubt<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        let Some(body) = &mut self.body else { return Ok(()) };
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
        if let Some(body) = &mut self.body {
            return body.append(run, chunk, last, out);
        }
        let seen = self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(LONGEST_HEAD - seen)]);
        let end = match head::end(&self.head, seen) {
            Some(end) => end,
            None if last && self.head.len() < LONGEST_HEAD => self.head.len(),
            None if self.head.len() == LONGEST_HEAD => {
                let mut body = Node::of_format(Format::Text, &self.place);
                body.append(run, &self.head[..seen], false, out)?;
                self.head = Vec::new();
                return self.body.insert(body).append(run, chunk, last, out);
            }
            None => return Ok(()),
        };
        let mut raw = std::mem::take(&mut self.head);
        raw.truncate(end);
        let head = head::redacted(run, &raw, out)?;
        self.body.insert(self.body(run, &head)).append(run, &chunk[end - seen..], last, out)
    }

    /// What reads the body behind a head.
    fn body<P>(&self, run: &Run<'_, P>, head: &Head) -> Node {
        let place = self.place.inner(&head.name);
        let declared = match (&head.content_type, self.default) {
            (Some(content_type), _) => Declared::of([content_type.as_slice()]),
            (None, Default::Sniffed) => Declared::NOTHING,
            (None, Default::Text) => Declared::of_format(Format::Text),
            (None, Default::Message) => Declared { kind: Kind::Message, ..Declared::NOTHING },
        };
        let declared = declared.of_file(&head.file);
        let parted = matches!(declared.kind, Kind::Multipart { .. });
        let inner = if !head.name.is_empty() && run.rules.is_field(&head.name) {
            Node::swallowed()
        } else {
            Node::new(declared, &place)
        };
        match head.encoding.as_deref().and_then(Coding::of_transfer) {
            Some(coding) if !parted && place.codings < super::MOST_CODINGS => {
                let place = place.coded();
                Node::Recoded(Box::new(Recoded::new(coding, &place, inner)))
            }
            _ => inner,
        }
    }
}
