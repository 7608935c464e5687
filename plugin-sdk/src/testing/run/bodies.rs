//! A body through the plugin, whole or chunk by chunk.

use std::cell::Cell;

use plugin_rules::body::{OF_THE_BYTES, may_answer};
use plugin_rules::class::Direction;
use plugin_rules::failure::ABORTED;
use plugin_rules::phase::Phase;

use super::codings::Pieces;
use super::{Passed, Run};
use crate::bindings::edge::gateway::http::Part;
use crate::testing::message::FieldList;
use crate::{BodyMode, ChunkAction, Plugin};

impl<P: Plugin> Run<'_, P> {
    /// A body through the plugin.
    pub(super) fn stream(&self, of: Direction, mode: BodyMode, pieces: Pieces, trailers: FieldList) -> Passed {
        let Pieces { mut chunks, fault } = pieces;
        if let Some(status) = fault {
            // A whole body that is no good never comes to the plugin.
            let chunks = if mode == BodyMode::Whole { Vec::new() } else { chunks };
            return self.stream_until(of, chunks, status);
        }
        if mode == BodyMode::Whole {
            chunks = vec![chunks.concat()];
        } else if chunks.is_empty() || (!trailers.is_empty() && chunks.last().is_some_and(|last| !last.is_empty())) {
            // Trailers are a frame of their own after the last bytes, and the end is told where there are none.
            chunks.push(Vec::new());
        }
        let part = if of == Direction::Request { Part::RequestTrailers } else { Part::ResponseTrailers };
        let last = chunks.len().saturating_sub(1);
        let mut out = Vec::new();
        for (at, data) in chunks.into_iter().enumerate() {
            let end = at == last;
            if data.is_empty() && !end {
                continue;
            }
            if end {
                self.data.part(part).borrow_mut().clone_from(&trailers);
            }
            match self.chunk(of, mode, (data, end), &mut out) {
                None => {}
                Some(passed) => return passed,
            }
        }
        Passed::Body { chunks: out, aborted: None }
    }

    pub(super) fn stream_until_cut(&self, chunks: Vec<Vec<u8>>) -> Passed {
        match self.stream_until(Direction::Response, chunks, ABORTED) {
            // The head has gone out.
            Passed::Refused(_) => Passed::Body { chunks: Vec::new(), aborted: Some(ABORTED) },
            passed => passed,
        }
    }

    /// A body that is at its end behind these chunks, without a good one; the status is for where nothing has gone out.
    fn stream_until(&self, of: Direction, chunks: Vec<Vec<u8>>, status: u16) -> Passed {
        let mut out = Vec::new();
        let mut called = false;
        for data in chunks.into_iter().filter(|data| !data.is_empty()) {
            called = true;
            if let Some(passed) = self.chunk(of, BodyMode::Chunks, (data, false), &mut out) {
                return passed;
            }
        }
        match out.is_empty() && !(called && of == Direction::Response) {
            true => Passed::Refused(status),
            false => Passed::Body { chunks: out, aborted: Some(status) },
        }
    }

    /// One call of a body phase; `Some` where the stream ends with it.
    fn chunk(
        &self,
        of: Direction,
        mode: BodyMode,
        (data, end): (Vec<u8>, bool),
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Passed> {
        let sent: &Cell<bool> =
            if of == Direction::Request { &self.data.request_sent } else { &self.data.response_sent };
        // The head of a response that is read in chunks has gone out before the first of them.
        if of == Direction::Response && mode == BodyMode::Chunks {
            sent.set(true);
        }
        let action = self.call_with_chunk(of, mode, data.clone(), end);
        let released = !out.is_empty() || sent.get();
        let cut = |out: &mut Vec<Vec<u8>>| match released {
            true => Passed::Body { chunks: std::mem::take(out), aborted: Some(ABORTED) },
            false => Passed::Refused(ABORTED),
        };
        if self.data.lost[of as usize].get() {
            return Some(cut(out));
        }
        let bytes = match action {
            ChunkAction::Pass => data,
            ChunkAction::Replace(bytes) => bytes,
            ChunkAction::Respond(response) if may_answer(released) => return Some(Passed::Respond(response)),
            // An answer after bytes have gone out can only end the stream.
            ChunkAction::Respond(_) | ChunkAction::Abort => return Some(cut(out)),
        };
        if !bytes.is_empty() {
            out.push(bytes);
            // With the first bytes, the head has gone out.
            sent.set(true);
        }
        None
    }

    fn call_with_chunk(&self, of: Direction, mode: BodyMode, data: Vec<u8>, end: bool) -> ChunkAction {
        let name = "body.mode".to_owned();
        let word = if mode == BodyMode::Whole { "whole" } else { "chunks" };
        self.data.properties.borrow_mut().insert(name.clone(), word.to_owned());
        let action = match of {
            Direction::Request => self.call_with(data.len(), Phase::RequestBody, |plugin, exchange| {
                plugin.on_request_body(&exchange.of_chunk(end), data, end)
            }),
            Direction::Response => self.call_with(data.len(), Phase::ResponseBody, |plugin, exchange| {
                plugin.on_response_body(&exchange.of_chunk(end), data, end)
            }),
        };
        self.data.properties.borrow_mut().remove(&name);
        action
    }
}

/// Drops what holds only for the body as it came; of that, this many names.
pub(super) fn body_may_change(fields: &mut FieldList, names: usize) {
    fields.retain(|(name, _)| !OF_THE_BYTES[..names].contains(&name.as_str()));
}
