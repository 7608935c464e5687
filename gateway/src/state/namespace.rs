//! The state that one plugin sees in one route entry, wherever it is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_rules::gcra::Decision;

use super::answer::Answer;
use super::counters::Claim;
use super::memory::{Entry, MemoryNamespace, SwapError, TooLarge};

/// A namespace of the backend in force. Every operation is atomic over all workers. Cheap to clone.
///
/// A backend is a variant, and not an object behind a `dyn`: in memory an operation stays a direct call.
#[derive(Clone, Debug)]
pub enum Namespace {
    /// In this process: every answer is there at once.
    Memory(Arc<MemoryNamespace>),
}

impl Namespace {
    /// See [`MemoryNamespace::get`].
    #[inline]
    pub fn get(&self, key: &str, now: Duration) -> Answer<Option<Entry>> {
        match self {
            Self::Memory(memory) => Answer::Ready(memory.get(key, now)),
        }
    }

    /// See [`MemoryNamespace::set`].
    #[inline]
    pub fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>, now: Duration) -> Answer<Result<u64, TooLarge>> {
        match self {
            Self::Memory(memory) => Answer::Ready(memory.set(key, value, ttl, now)),
        }
    }

    /// See [`MemoryNamespace::delete`].
    #[inline]
    pub fn delete(&self, key: &str, now: Duration) -> Answer<()> {
        match self {
            Self::Memory(memory) => {
                memory.delete(key, now);
                Answer::Ready(())
            }
        }
    }

    /// See [`MemoryNamespace::compare_and_swap`].
    #[inline]
    pub fn compare_and_swap(
        &self,
        key: &str,
        expect: Option<u64>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
        now: Duration,
    ) -> Answer<Result<u64, SwapError>> {
        match self {
            Self::Memory(memory) => Answer::Ready(memory.compare_and_swap(key, expect, value, ttl, now)),
        }
    }

    /// See [`MemoryNamespace::take`].
    #[inline]
    pub fn take(&self, claims: &[Claim<'_>], now: Duration) -> Answer<Vec<Decision>> {
        match self {
            Self::Memory(memory) => Answer::Ready(memory.take(claims, now)),
        }
    }

    /// See [`MemoryNamespace::add`].
    #[inline]
    pub fn add(&self, key: &str, delta: i64, window: Duration, now: Duration) -> Answer<i64> {
        match self {
            Self::Memory(memory) => Answer::Ready(memory.add(key, delta, window, now)),
        }
    }
}
