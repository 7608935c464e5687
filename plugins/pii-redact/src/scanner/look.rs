//! A position in a window: what stands before it, and what is known of it already.

use crate::decode::{Edge, Window};
use crate::detect::{self, Before, Candidate, Kept, email};
use crate::rules::start;

/// See above.
#[derive(Debug)]
pub(super) struct Look {
    /// The decoded byte that is looked at.
    pub(super) position: usize,
    /// What stands before the bytes of the window from `fresh` on.
    far: Kept,
    fresh: usize,
    /// A letter or digit stands before the position.
    pub(super) letter: bool,
    /// Positions before this one can't start an address.
    pub(super) barren: usize,
}

impl Look {
    /// At the start of a window.
    pub(super) fn behind(far: Kept) -> Self {
        let letter = Before::new(&far, &[]).is_letter();
        Self { position: 0, far, fresh: 0, letter, barren: 0 }
    }

    /// What stands before the position.
    #[inline]
    pub(super) fn before<'a>(&'a self, window: &'a Window<'_>) -> Before<'a> {
        Before::new(&self.far, &window.bytes()[self.fresh..self.position])
    }

    /// What a detector is shown.
    #[inline]
    pub(super) fn candidate<'a>(&'a self, window: &'a Window<'_>) -> Candidate<'a> {
        let complete = window.edge() == Edge::Closed;
        Candidate { text: &window.bytes()[self.position..], complete, before: self.before(window) }
    }

    /// Nothing starts at the position, of what was wanted there.
    #[inline]
    pub(super) fn pass(&mut self, window: &Window<'_>, byte: u8, previous: u8, wanted: u8) {
        if wanted & start::EMAIL != 0 {
            self.barren = self.barren.max(self.position + email::barren(&self.candidate(window)));
        }
        self.letter = detect::is_alphanumeric(byte) || detect::continues(previous, byte);
        self.position += 1;
    }

    /// A value ends before `next`. What is gone says nothing of what follows, but that it is no part of the same word.
    pub(super) fn jump(&mut self, window: &Window<'_>, next: usize) {
        self.far = Kept::NOTHING;
        (self.fresh, self.position) = (next - 1, next);
        self.letter = self.before(window).is_letter();
    }
}
