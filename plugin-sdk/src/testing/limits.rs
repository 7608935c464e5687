//! The limits of one call, as the gateway has them where its configuration says nothing else.

use std::cell::Cell;

use plugin_rules::limits::OUTPUT;

use crate::{ChunkAction, FailureAction, HeadersAction, LocalResponse};

thread_local! {
    /// Host calls that the running call may make, and that are left of them; none outside of calls.
    static HOST_CALLS: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
}

/// Takes one host call off the budget.
pub(crate) fn charge() {
    if let Some((allowed, left)) = HOST_CALLS.get() {
        let left = left.checked_sub(1);
        let left =
            left.unwrap_or_else(|| panic!("made more than {allowed} host calls (plugins.limits.NAME.host_calls)"));
        HOST_CALLS.set(Some((allowed, left)));
    }
}

/// A call that may make so many host calls.
pub(super) fn with_host_calls<R>(allowed: u32, call: impl FnOnce() -> R) -> R {
    struct Restore(Option<(u32, u32)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HOST_CALLS.set(self.0);
        }
    }
    let _restore = Restore(HOST_CALLS.replace(Some((allowed, allowed))));
    call()
}

/// What a call gives back.
pub(super) trait Given {
    /// How many bytes that is.
    fn bytes(&self) -> usize;
}

/// Ends a plugin that gives back more than it may.
pub(super) fn bounded<G: Given>(given: G) -> G {
    assert!(given.bytes() <= OUTPUT, "gave the host more than {OUTPUT} bytes (plugins.limits.NAME.output)");
    given
}

impl Given for () {
    fn bytes(&self) -> usize {
        0
    }
}

impl Given for LocalResponse {
    fn bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + self.body.len()
    }
}

impl Given for HeadersAction {
    fn bytes(&self) -> usize {
        match self {
            Self::Respond(response) | Self::RespondStored(_, Some(response)) => response.bytes(),
            Self::Continue(_) | Self::RespondStored(_, None) => 0,
        }
    }
}

impl Given for FailureAction {
    fn bytes(&self) -> usize {
        match self {
            Self::Respond(response) | Self::RespondStored(_, Some(response)) => response.bytes(),
            Self::Continue | Self::RespondStored(_, None) | Self::Retry => 0,
        }
    }
}

impl Given for ChunkAction {
    fn bytes(&self) -> usize {
        match self {
            Self::Replace(bytes) => bytes.len(),
            Self::Respond(response) => response.bytes(),
            Self::Pass | Self::Abort => 0,
        }
    }
}
