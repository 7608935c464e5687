//! The trait that a plugin implements, and the phases it can take part in.

use std::ops::BitOr;

use serde::de::DeserializeOwned;

use crate::{ChunkAction, ConfigErrors, Exchange, FailureAction, RequestAction, ResponseAction};

pub use crate::bindings::edge::gateway::types::Failure;

/// The phases that a plugin is called for. Others cost nothing.
///
/// ```
/// use plugin_sdk::Phases;
/// const PHASES: Phases = Phases::REQUEST_HEADERS.and(Phases::LOG);
/// assert!(PHASES.contains(Phases::LOG) && !PHASES.contains(Phases::REQUEST_BODY));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    /// No phase.
    pub const NONE: Self = Self(0);
    /// The head of the request is there.
    pub const REQUEST_HEADERS: Self = Self(1);
    /// The request's body, where `on_request_headers` asked for it.
    pub const REQUEST_BODY: Self = Self(1 << 1);
    /// The head of the response is there.
    pub const RESPONSE_HEADERS: Self = Self(1 << 2);
    /// The response's body, where `on_response_headers` asked for it.
    pub const RESPONSE_BODY: Self = Self(1 << 3);
    /// The upstream gave no response.
    pub const UPSTREAM_FAILURE: Self = Self(1 << 4);
    /// The exchange is over.
    pub const LOG: Self = Self(1 << 5);

    /// These phases and those. `|` does the same outside constants.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// [`Phases::and`], as builders call it.
    pub const fn with(self, other: Self) -> Self {
        self.and(other)
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Phases {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// What the gateway must know of a plugin besides its phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// This plugin decides who may pass: when it fails, the request is refused, whatever the route's policy says.
    pub authenticator: bool,
}

impl Traits {
    /// Nothing special.
    pub const NONE: Self = Self { authenticator: false };
    /// Decides who may pass.
    pub const AUTHENTICATOR: Self = Self { authenticator: true };
}

/// That [`crate::plugin`] has looked at the methods.
#[doc(hidden)]
#[derive(Debug)]
pub struct Derived(());

#[doc(hidden)]
pub const DERIVED: Derived = Derived(());

/// A plugin: configured once per instance, then called for each exchange in the phases whose methods it implements.
/// [`#[plugin]`](macro@crate::plugin) stands above the `impl` and sees to that; without it, the `impl` does not compile.
///
/// Order: request-headers phases run first, in chain order, then the request body streams through; response phases
/// run in reverse order, over the plugins whose request-headers phase has run (also where that phase isn't named).
/// `on_log` comes last, once. Many instances of a plugin serve at the same time and any of them may run any phase, so
/// nothing in `self` is a place for what belongs to an exchange: use [`Exchange::set_state`], for a body that comes in chunks
/// [`Exchange::begin_stream`], and [`crate::kv`] and [`crate::counters`] for what outlives it. That is why a plugin is
/// [`Sync`]: a `Cell` in `self` would be such a place. A `Mutex` or a `thread_local!` is one as well, and for what is only kept
/// to be faster. What a plugin answers to the head of a request waits for the plugins before it that read the body.
///
/// A panic is logged with its place and discards the instance; the request is treated as the route's `on_failure` says. Whoever
/// decides who may pass says so in [`Plugin::TRAITS`].
pub trait Plugin: Sized + Sync + 'static {
    #[doc(hidden)]
    const ATTRIBUTE_PLUGIN_IS_MISSING: Derived;
    /// The phases to be called for: those whose methods are implemented. [`#[plugin]`](macro@crate::plugin) sets it.
    const PHASES: Phases;
    /// What else the gateway must know.
    const TRAITS: Traits = Traits::NONE;
    /// Whether there are configs that need none of the grants which the plugin's imports ask for. It then loads without an
    /// entry under `plugins.grants` too, with every such call denied; its `configure` refuses what it can't do without, by
    /// [`crate::calls::is_granted`] and what [`crate::secrets::get`] gives.
    const GRANTS_ARE_OPTIONAL: bool = false;
    /// The shape of `config` in the route's plugin entry. Give it `#[serde(deny_unknown_fields)]`: an unknown or wrong
    /// field is then reported at its line of the gateway's config.
    type Config: DeserializeOwned;

    /// Checks the config and makes the plugin. Report all mistakes at once, each at its JSON pointer.
    fn configure(config: Self::Config) -> Result<Self, ConfigErrors>;

    /// [`Phases::REQUEST_HEADERS`]. `end`: no body follows.
    fn on_request_headers(&self, exchange: &Exchange, end: bool) -> RequestAction {
        let _ = (exchange, end);
        RequestAction::next()
    }

    /// [`Phases::REQUEST_BODY`]: one chunk, or the whole body; [`Exchange::body_mode`] tells which. Trailers are there at
    /// `end`, which comes with the last bytes or alone. There is always a call with `end`, with no bytes where there is no body.
    fn on_request_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        let _ = (exchange, data, end);
        ChunkAction::Pass
    }

    /// [`Phases::RESPONSE_HEADERS`]. `end`: no body follows.
    fn on_response_headers(&self, exchange: &Exchange, end: bool) -> ResponseAction {
        let _ = (exchange, end);
        ResponseAction::next()
    }

    /// [`Phases::RESPONSE_BODY`]: one chunk, or the whole body; [`Exchange::body_mode`] tells which. Trailers are there at
    /// `end`. What was asked for as a whole comes once in any case, also for an answer to HEAD, a 204 or a 304, which have no
    /// body. In chunks the head has gone out already: it can't be changed, and to answer is to abort.
    fn on_response_body(&self, exchange: &Exchange, data: Vec<u8>, end: bool) -> ChunkAction {
        let _ = (exchange, data, end);
        ChunkAction::Pass
    }

    /// [`Phases::UPSTREAM_FAILURE`]: there is no response, for this reason.
    fn on_upstream_failure(&self, exchange: &Exchange, failure: Failure) -> FailureAction {
        let _ = (exchange, failure);
        FailureAction::next()
    }

    /// [`Phases::LOG`]: after the last byte, or when the exchange was given up.
    fn on_log(&self, exchange: &Exchange) {
        let _ = exchange;
    }
}
