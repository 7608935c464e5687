//! What can be queued.

use crate::model::{LogRecord, Span};

/// What can be queued.
pub trait Item: Send + 'static {
    /// The memory that it holds, in bytes, roughly.
    fn size(&self) -> usize;
}

impl Item for Span {
    fn size(&self) -> usize {
        Self::size(self)
    }
}

impl Item for LogRecord {
    fn size(&self) -> usize {
        Self::size(self)
    }
}
