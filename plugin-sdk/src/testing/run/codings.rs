//! Content codings of bodies that the plugin reads: taken off before, and put on again behind.

use plugin_rules::body::{VARIES_BY, says_varies};
use plugin_rules::class::Direction;
use plugin_rules::codings::{Accepted, Bounds, Coding, Codings, Content, Decoder, Encoder, Fault, RATIO, Unreadable};
use plugin_rules::failure::{ENCODED_REQUEST, ENCODED_RESPONSE, of_fault};
use plugin_rules::fields::Fields as _;

use super::Run;
use crate::Plugin;
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::FieldList;

/// A body as the plugin is given it.
pub(super) struct Pieces {
    pub(super) chunks: Vec<Vec<u8>>,
    /// What follows them is no good, and the gateway answers with this status where it still can.
    pub(super) fault: Option<u16>,
}

impl<P: Plugin> Run<'_, P> {
    /// What the fields of a message say of its content.
    pub(super) fn content(&self, of: Direction) -> Content {
        let part = if of == Direction::Request { Part::Request } else { Part::Response };
        match Content::of(&*self.data.part(part).borrow(), of) {
            Content::Coded(_) if of == Direction::Response && self.status() == 206 => {
                Content::Unreadable(Unreadable::Part)
            }
            content => content,
        }
    }

    /// The codings go from the head.
    pub(super) fn is_decoded(&self, of: Direction, content: &Content) {
        let Content::Coded(codings) = content else { return };
        let part = if of == Direction::Request { Part::Request } else { Part::Response };
        let mut fields = self.data.part(part).borrow_mut();
        fields.retain(|(name, _)| !codings.take_along(name));
        for (_, value) in
            fields.iter_mut().filter(|(name, _)| codings.in_aws_chunks() && name == "x-amz-content-sha256")
        {
            if let Some(told) = plugin_rules::codings::of_the_payload(value) {
                *value = told.into();
            }
        }
        if of == Direction::Response {
            self.decoded.set(codings.outermost());
        }
    }

    /// The coding goes onto the response again, where the client accepts one.
    pub(super) fn encode_again(&self, chunks: Vec<Vec<u8>>, ends: bool) -> Vec<Vec<u8>> {
        let Some(own) = self.decoded.take() else { return chunks };
        let mut fields = self.data.part(Part::Response).borrow_mut();
        if !says_varies(&*fields) {
            fields.push(("vary".to_owned(), VARIES_BY.into()));
        }
        let is_coded = fields.values("content-encoding").next().is_some();
        let Some(coding) = self.accepted.get().choose(own).filter(|_| !is_coded) else { return chunks };
        let is_empty = chunks.iter().all(Vec::is_empty);
        if self.has_no_body() || !is_empty {
            fields.push(("content-encoding".to_owned(), coding.name().into()));
        }
        if is_empty { chunks } else { encoded(coding, &chunks, ends) }
    }
}

/// What the client accepts.
pub(super) fn accepted(request: &FieldList) -> Accepted {
    Accepted::of(request.values("accept-encoding"))
}

/// Each chunk can be read by itself, as the gateway lets none wait for the next.
fn encoded(coding: Coding, chunks: &[Vec<u8>], ends: bool) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(coding).expect("there is memory for an encoder");
    let mut all: Vec<Vec<u8>> = Vec::new();
    for chunk in chunks {
        encoder.write(chunk).and_then(|()| encoder.flush()).expect("there is memory to encode");
        all.push(encoder.take());
    }
    if ends {
        all.push(encoder.finish().expect("there is memory to encode"));
    }
    all
}

/// The chunks of a body without its codings. `ends`: nothing follows them.
pub(super) fn decoded(content: &Content, of: Direction, chunks: Vec<Vec<u8>>, ends: bool) -> Pieces {
    match content {
        Content::Coded(codings) if chunks.iter().any(|chunk| !chunk.is_empty()) => {
            let mut pieces = Vec::new();
            let fault = take_off(codings, &chunks, &mut pieces, ends).err().map(|fault| match of {
                Direction::Request => of_fault(fault),
                Direction::Response => ENCODED_RESPONSE,
            });
            // Where the last bytes of a content make nothing, its end comes behind what it has made.
            if fault.is_none() && ends && pieces.last().is_some_and(|last: &Vec<u8>| !last.is_empty()) {
                let made_nothing = chunks.last().is_some_and(Vec::is_empty);
                pieces.extend(made_nothing.then(Vec::new));
            }
            Pieces { chunks: pieces, fault }
        }
        Content::Unreadable(_) if chunks.iter().any(|chunk| !chunk.is_empty()) => Pieces {
            chunks: Vec::new(),
            fault: Some(if of == Direction::Request { ENCODED_REQUEST } else { ENCODED_RESPONSE }),
        },
        _ => Pieces { chunks, fault: None },
    }
}

fn take_off(codings: &Codings, chunks: &[Vec<u8>], pieces: &mut Vec<Vec<u8>>, ends: bool) -> Result<(), Fault> {
    // How large bodies may be is the route's to say.
    let mut decoder = Decoder::new(codings, Bounds { size: None, ratio: RATIO })?;
    for (at, chunk) in chunks.iter().enumerate() {
        let before = pieces.len();
        let mut done = decode(&mut decoder, chunk, pieces);
        let is_last = ends && at + 1 == chunks.len();
        if is_last && done.is_ok() {
            done = decoder.finish();
        }
        if done.is_err() && is_last && pieces.len() > before {
            // Where all has come, a step more is decoded before one is given.
            pieces.pop();
        }
        done?;
        if pieces.len() == before && !chunk.is_empty() {
            pieces.push(Vec::new());
        }
    }
    Ok(())
}

fn decode(decoder: &mut Decoder, mut rest: &[u8], pieces: &mut Vec<Vec<u8>>) -> Result<(), Fault> {
    loop {
        let step = decoder.step(rest)?;
        if !step.made.is_empty() {
            pieces.push(step.made.to_vec());
        }
        rest = &rest[step.used..];
        if rest.is_empty() && !step.moved {
            return Ok(());
        }
    }
}
