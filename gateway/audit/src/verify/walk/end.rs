//! What can be said of a chain when all of it was read.

use super::Walk;
use crate::record::Deletion;
use crate::verify::{Problem, Trust};

impl Walk<'_> {
    pub(super) fn end(&mut self) {
        if let Some((number, seq, hash)) = self.before_first {
            let says = |deletion: &Deletion| {
                deletion.last > number || (deletion.last, deletion.last_seq, deletion.hash) == (number, seq, hash)
            };
            if self.deletions.iter().any(says) {
                self.chain.deleted_segments = number;
            } else {
                self.found(None, None, Problem::Undeclared { to: number });
            }
        }
        let last = self.chain.head.as_ref().map_or(0, |head| head.seq);
        // A start is synced before anything follows it, so a chain may end with one.
        let uncovered = last - self.covered.min(last);
        if self.signed && uncovered > 0 && !self.ends_with_start(last) && !self.is_growing() {
            self.found(None, Some(last), Problem::Uncovered(uncovered));
        }
        for head in std::mem::take(&mut self.expected) {
            let problem = if head.seq > last {
                Problem::Tail { last, expected: head.seq }
            } else if head.seq < self.chain.first {
                Problem::Before(head.seq)
            } else {
                Problem::Rewritten(head.seq)
            };
            self.found(None, Some(head.seq), problem);
        }
        self.chain.trust = match (self.chain.signed_heads, self.known.keys.is_empty()) {
            (0, _) => Trust::Ordered,
            (_, true) => Trust::SignedByItsOwnWord,
            (_, false) => Trust::Signed,
        };
    }

    fn ends_with_start(&self, last: u64) -> bool {
        self.last_start == Some(last) && last - self.covered <= 1
    }
}
