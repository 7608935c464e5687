//! A host for native tests: virtual clock, scripted upstreams, and everything a plugin did to look at afterwards.
//!
//! ```
//! use plugin_sdk::prelude::*;
//! use plugin_sdk::testing::*;
//!
//! struct Gate;
//! #[plugin]
//! impl Plugin for Gate {
//!     type Config = serde::de::IgnoredAny;
//!     fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
//!         Ok(Self)
//!     }
//!     fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
//!         match exchange.request().header("x-key") {
//!             Some(_) => RequestAction::next(),
//!             None => RequestAction::problem(401, "Unauthorized", "Send a key."),
//!         }
//!     }
//! }
//!
//! let host = TestHost::new();
//! let gate = host.configure::<Gate>(json!({})).unwrap();
//! let refused = host.run(&gate, TestRequest::get("/"));
//! assert_eq!(refused.response().status, 401);
//! let mut passed = host.run(&gate, TestRequest::get("/a?b").header("x-key", "k"));
//! assert_eq!(passed.forwarded().target, "/a?b");
//! assert_eq!(passed.respond(TestResponse::new(200).body("hello")).text(), "hello");
//! ```
//!
//! What a plugin may do, and what comes of it, the host takes from the rules that the gateway is built with (the crate
//! `plugin-rules`); where the gateway would end the plugin, it panics. Limits on host calls, on what a call gives back and on
//! keys are those that a plugin has by default; those on time, on memory and on how much state is kept are the gateway's alone.

mod cases;
mod convert;
pub(crate) mod crypto;
mod data;
mod limits;
mod message;
mod notes;
mod run;
mod state;
mod stored;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use plugin_rules::limits::HOST_CALLS;
use plugin_rules::{MAX_RANDOM, metrics};

use crate::bindings::edge::gateway::calls;
use crate::log::Level;
use crate::{ConfigErrors, Plugin, parse_config};

pub use crate::bindings::edge::gateway::calls::{Error as CallError, Request as CallRequest};
pub use cases::run_cases;
pub use data::Data;
pub(crate) use data::exchange_calls;
pub(crate) use limits::charge;
pub use message::{ClientResponse, Forwarded, TestRequest, TestResponse};
pub use notes::{AuditNote, TestSpan};
pub use run::{Outcome, Run};
pub use serde_json::json;

type Upstream = Rc<dyn Fn(&CallRequest) -> Result<TestResponse, CallError>>;

/// The virtual clock starts at 2025-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_735_689_600);

/// The host that a plugin runs in during a test. Clones are the same host.
#[derive(Clone)]
pub struct TestHost(Rc<Host>);

impl std::fmt::Debug for TestHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestHost").field("logs", &self.0.logs.borrow()).finish_non_exhaustive()
    }
}

pub(crate) struct Host {
    pub(crate) now: Cell<Duration>,
    start: Cell<Duration>,
    pub(crate) level: Cell<Level>,
    seed: Cell<u64>,
    pub(crate) logs: RefCell<Vec<(Level, String)>>,
    pub(crate) secrets: RefCell<HashMap<String, Vec<u8>>>,
    pub(crate) upstreams: RefCell<HashMap<String, Upstream>>,
    pub(crate) calls: RefCell<Vec<calls::Request>>,
    pub(crate) counts: RefCell<BTreeMap<String, u64>>,
    pub(crate) observations: RefCell<BTreeMap<String, Vec<f64>>>,
    pub(crate) state: RefCell<state::State>,
    /// How many keys plugins have; shared with the keys, which may go on another thread.
    keys: Arc<AtomicUsize>,
    stored: RefCell<Vec<stored::Stored>>,
    /// The entry says `shared: true`: stored responses are everybody's.
    shared: Cell<bool>,
    /// The entry says `store_unmarked: true`.
    unmarked: Cell<bool>,
    /// `configure` runs, in which nothing may be called.
    pub(crate) configuring: Cell<bool>,
    /// Calls are refused, as by a gateway that has no room for them.
    pub(crate) refusing: Cell<bool>,
    /// The last one was.
    pub(crate) refused: Cell<bool>,
}

impl Host {
    pub(crate) fn elapsed(&self) -> Duration {
        // The monotonic clock doesn't begin at zero, so that nobody relies on it.
        Duration::from_secs(1000) + (self.now.get() - self.start.get())
    }

    pub(crate) fn random(&self, count: usize) -> Vec<u8> {
        assert!(count <= MAX_RANDOM as usize, "sys.random: {count} bytes asked for, {MAX_RANDOM} are allowed");
        // splitmix64: the same bytes in every run.
        let mut out = Vec::with_capacity(count + 8);
        while out.len() < count {
            let seed = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.seed.set(seed);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            out.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        out.truncate(count);
        out
    }
}

thread_local! {
    static CURRENT: RefCell<Vec<Rc<Host>>> = const { RefCell::new(Vec::new()) };
}

/// Works on the host that this thread is in, if it is in one.
fn innermost<R>(work: impl FnOnce(&Host) -> R) -> Option<R> {
    CURRENT.with_borrow(|hosts| hosts.last().cloned()).map(|host| work(&host))
}

/// Works on the host that this thread is in.
pub(crate) fn current<R>(work: impl FnOnce(&Host) -> R) -> R {
    innermost(work).expect("no TestHost is entered on this thread: call the host's functions inside of TestHost::enter")
}

/// What identifies a series; `None` where these can't be one, and the gateway drops it.
pub(crate) fn metric_key(name: &str, labels: &[(&str, &str)]) -> Option<String> {
    if !metrics::is_series(name, labels) {
        return None;
    }
    let label = |(key, value): &(&str, &str)| {
        let key: String = metrics::identifier(key).into_iter().flatten().collect();
        format!("{key}={:?}", metrics::label_value(value))
    };
    let mut labels: Vec<_> = labels.iter().map(label).collect();
    labels.sort();
    let name: String = metrics::family(name)?.collect();
    Some(format!("{name}{{{}}}", labels.join(",")))
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHost {
    /// A host with nothing in it; its clock stands at 2025-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self(Rc::new(Host {
            now: Cell::new(START),
            start: Cell::new(START),
            level: Cell::new(Level::Trace),
            seed: Cell::new(1),
            logs: RefCell::default(),
            secrets: RefCell::default(),
            upstreams: RefCell::default(),
            calls: RefCell::default(),
            counts: RefCell::default(),
            observations: RefCell::default(),
            state: RefCell::default(),
            keys: Arc::default(),
            stored: RefCell::default(),
            shared: Cell::new(false),
            unmarked: Cell::new(false),
            configuring: Cell::new(false),
            refusing: Cell::new(false),
            refused: Cell::new(false),
        }))
    }

    /// Sets the clock, before it is first read.
    #[must_use]
    pub fn unix(self, since_1970: Duration) -> Self {
        self.0.now.set(since_1970);
        self.0.start.set(since_1970);
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.0.secrets.borrow_mut().insert(name.to_owned(), value.into());
        self
    }

    /// Adds an upstream that answers [`crate::calls`], and that [`crate::Exchange::set_upstream`] may name.
    #[must_use]
    pub fn upstream(
        self,
        name: &str,
        answer: impl Fn(&CallRequest) -> Result<TestResponse, CallError> + 'static,
    ) -> Self {
        self.0.upstreams.borrow_mut().insert(name.to_owned(), Rc::new(answer));
        self
    }

    /// From now on refuses calls, as a gateway does that has no room for them, or no more. Those are not among `calls`.
    pub fn refuse_calls(&self, refuse: bool) {
        self.0.refusing.set(refuse);
    }

    /// Stores responses for all callers alike, as an entry with `shared: true` does. Otherwise each principal has its own.
    #[must_use]
    pub fn shared(self) -> Self {
        self.0.shared.set(true);
        self
    }

    /// Stores also responses that don't say that they may be used again, as an entry with `store_unmarked: true` does.
    #[must_use]
    pub fn store_unmarked(self) -> Self {
        self.0.unmarked.set(true);
        self
    }

    /// Sets the least level that is logged; at first it is trace.
    #[must_use]
    pub fn max_level(self, level: Level) -> Self {
        self.0.level.set(level);
        self
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.0.now.set(self.0.now.get() + by);
    }

    /// Runs code that calls the host, outside of a plugin's phases. Those enter by themselves.
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(Vec::pop);
            }
        }
        CURRENT.with_borrow_mut(|hosts| hosts.push(self.0.clone()));
        let _leave = Leave;
        crate::log::forget_level();
        work()
    }

    /// Configures a plugin as the gateway does; calls to upstreams are denied meanwhile.
    pub fn configure<P: Plugin>(&self, config: serde_json::Value) -> Result<P, ConfigErrors> {
        let before = self.0.configuring.replace(true);
        let configure = || P::configure(parse_config(&config.to_string())?);
        let configured = self.enter(|| limits::with_host_calls(HOST_CALLS, configure));
        self.0.configuring.set(before);
        configured
    }

    /// What was logged so far.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.0.logs.borrow().clone()
    }

    /// The value of a key in kv.
    pub fn kv(&self, key: &str) -> Option<Vec<u8>> {
        self.enter(|| crate::kv::get(key)).map(|entry| entry.value)
    }

    /// The sum of a counter metric with these labels, in any order.
    pub fn counted(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let key = metric_key(name, labels);
        key.and_then(|key| self.0.counts.borrow().get(&key).copied()).unwrap_or(0)
    }

    /// The values observed by a histogram with these labels, in any order.
    pub fn observed(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let key = metric_key(name, labels);
        key.and_then(|key| self.0.observations.borrow().get(&key).cloned()).unwrap_or_default()
    }

    /// The calls made to upstreams so far.
    pub fn calls(&self) -> Vec<CallRequest> {
        self.0.calls.borrow().clone()
    }
}
