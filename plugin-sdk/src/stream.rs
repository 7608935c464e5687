//! State of a body stream inside the guest.

use std::cell::RefCell;

/// A place for what a plugin must remember from one chunk of a body to the next.
///
/// While a body streams through a plugin, the instance serves that one body of that one exchange, from the headers
/// phase that asked for it on. So the instance may hold the state itself. Use one slot for each direction: the
/// request's and the response's body may run in the same instance or in two.
///
/// [`StreamSlot::begin`] replaces what an exchange that was given up may have left.
///
/// ```
/// use plugin_sdk::StreamSlot;
/// let slot = StreamSlot::new();
/// slot.begin(0_usize);
/// assert_eq!(slot.with(|seen| { *seen += 5; *seen }), Some(5));
/// assert_eq!(slot.take(), Some(5));
/// assert_eq!(slot.with(|seen| *seen), None);
/// ```
#[derive(Debug)]
pub struct StreamSlot<T>(RefCell<Option<T>>);

impl<T> StreamSlot<T> {
    /// An empty slot.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Starts a stream: call it in the headers phase that asks for the body.
    pub fn begin(&self, state: T) {
        *self.0.borrow_mut() = Some(state);
    }

    /// Works on the state; `None` where no stream has begun. `work` must not use the same slot.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.borrow_mut().as_mut().map(work)
    }

    /// Ends the stream and hands its state over.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().take()
    }
}

impl<T> Default for StreamSlot<T> {
    fn default() -> Self {
        Self::new()
    }
}
