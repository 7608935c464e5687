//! What a stock of instances needs of those that it keeps: how they are made, and what one is good for after a call.

use std::future::Future;

use super::error::PluginError;

/// Why no instance could be made.
#[derive(Debug)]
pub(crate) enum MakeError {
    /// The process has no room for another one.
    Exhausted,
    /// The plugin's fault.
    Failed(PluginError),
}

/// What an instance may be used for after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// More calls.
    Freely,
    /// More calls, until another one takes its place.
    UntilReplaced,
    /// Nothing.
    Never,
}

/// Makes the instances of a stock.
pub(super) trait Maker: 'static {
    /// An instance.
    type Item: 'static;
    /// Makes one; the work goes on off the worker's thread. `first`: there is no other one.
    fn make(&self, first: bool) -> impl Future<Output = Result<Self::Item, MakeError>>;
    /// What a returned one may be used for.
    fn reuse(&self, item: &Self::Item) -> Reuse;
    /// How many there may be.
    fn limit(&self) -> usize;
    /// What one takes of the worker's budget.
    fn weight(&self) -> usize;
    /// Whether one may be made now; else what whoever asks is told.
    fn may_make(&self) -> Result<(), PluginError> {
        Ok(())
    }
    /// One that can't be used any more goes.
    fn discarded(&self, _item: &Self::Item) {}
    /// For the gauge: one more, or one less.
    fn counted(&self, _by: i64) {}
}
