//! What a reload does with a key. Nearly all are followed at once; some went into what the start made and can't be made
//! anew while requests run, and change at the next one.
//!
//! Each section says which of its keys those are, right below them, in a function `keep` that names every key of the
//! section: one that is added does not compile before somebody has decided.

/// Changes that wait for the next start, in words.
#[derive(Debug, Default)]
pub(super) struct Deferred(Vec<String>);

impl Deferred {
    /// Keeps what runs of a key. Where it was to be something else, `tell` says so, given that.
    pub(super) fn keep<T: Clone + PartialEq>(&mut self, new: &mut T, running: &T, tell: impl FnOnce(&T) -> String) {
        if new != running {
            self.0.push(tell(new));
            new.clone_from(running);
        }
    }

    pub(super) fn into_notices(self) -> Vec<String> {
        self.0
    }
}
