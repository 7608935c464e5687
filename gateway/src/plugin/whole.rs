//! A body that a plugin wants whole, while it is collected: bounded by the route's limit, and by what the process may hold
//! of bodies.
//!
//! What is taken of the budget is what is allocated. A stated length is taken at once when a part of it has come: then
//! bodies that were begun can be finished, instead of all waiting for each other half-way. A client that states a length
//! and sends next to nothing takes next to nothing.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::memory::{Budget, Hold};

/// The part of a stated length that must have come before the rest is taken.
const EARNEST: usize = 16;

/// See the module.
pub(crate) struct Whole {
    memory: Arc<Budget>,
    /// The length that the body will have, where it is stated.
    stated: Option<usize>,
    bytes: Vec<u8>,
    held: Option<Hold>,
}

impl Whole {
    /// An empty one. What is longer than stated is collected all the same.
    pub(crate) fn new(memory: Arc<Budget>, stated: Option<u64>) -> Self {
        let stated = stated.and_then(|stated| usize::try_from(stated).ok());
        Self { memory, stated, bytes: Vec::new(), held: None }
    }

    /// Its length so far.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Takes a piece, after waiting for memory where it must.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let needed = self.bytes.len() + piece.len();
        let held = self.held.as_ref().map_or(0, Hold::bytes);
        if needed > held {
            let more = match self.stated.filter(|stated| *stated >= needed && needed >= *stated / EARNEST) {
                Some(stated) => self.memory.take(stated - held).await?,
                // Twice as much, so that a long body is not moved with every piece; no more than it needs where that is all.
                None => match self.memory.try_take(needed.max(held * 2) - held) {
                    Some(more) => more,
                    None => self.memory.take(needed - held).await?,
                },
            };
            let capacity = held + more.bytes();
            match &mut self.held {
                Some(held) => held.merge(more),
                None => self.held = Some(more),
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The body. Its memory is held for as long as anybody has a part of it.
    pub(crate) fn finish(mut self) -> Bytes {
        match self.held.take() {
            Some(held) => held.wrap(self.bytes),
            None => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn a_stated_length_is_taken_once_a_part_of_it_has_come() {
        let memory = Budget::new(1 << 20);
        let mut whole = Whole::new(memory.clone(), Some(16_000));
        whole.push(&[1; 100]).await.unwrap();
        assert_eq!(memory.held(), 100);
        whole.push(&[2; 900]).await.unwrap();
        assert_eq!(memory.held(), 16_000);
        whole.push(&[3; 15_000]).await.unwrap();
        whole.push(&[4; 1]).await.unwrap();
        let body = whole.finish();
        assert_eq!((body.len(), body[0], body[16_000]), (16_001, 1, 4));
        drop(body);
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_unstated_length_takes_no_more_than_it_needs_where_that_is_all_there_is() {
        let memory = Budget::new(1000);
        let _others = memory.try_take(300).unwrap();
        let mut whole = Whole::new(memory.clone(), None);
        for _ in 0..7 {
            whole.push(&[1; 100]).await.unwrap();
        }
        assert_eq!(whole.finish().len(), 700);
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_memory_in_time_is_refused_and_leaves_nothing_behind() {
        let memory = Budget::new(1000);
        let mut first = Whole::new(memory.clone(), None);
        first.push(&[1; 600]).await.unwrap();
        let mut second = Whole::new(memory.clone(), None);
        second.push(&[1; 400]).await.unwrap();
        assert_eq!(second.push(&[1; 1]).await.unwrap_err().kind(), ErrorKind::BodyMemory);
        drop(second);
        assert_eq!(memory.held(), 600);
        assert_eq!(first.finish().len(), 600);
    }
}
