//! A plugin's place in a chain, and an instance of it, as the chain sees them: a pool with its instances, or a script in
//! tests.

use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::exchange::{Exchange, ExchangeGuard, SharedExchange};
use crate::model::{OnFailure, Storing};
use crate::phase::Phases;
use crate::plugin::call::{Action, Call};
use crate::plugin::error::PluginError;
use crate::plugin::instance::Instance;
use crate::plugin::pool::Pool;
use crate::sanitize::{Configured, safe};

/// A plugin's place in a chain: [`Pool`], or a script in tests.
#[expect(async_fn_in_trait, reason = "futures of a worker are deliberately not Send")]
pub trait Link: 'static {
    /// What is checked out.
    type Guest: Guest;
    /// The plugin's name.
    fn name(&self) -> &str;
    /// The phases that its manifest names.
    fn phases(&self) -> Phases;
    /// Its failure policy.
    fn on_failure(&self) -> OnFailure;
    /// What the entry says of stored responses.
    fn storing(&self) -> &Storing;
    /// Whether a call may wait, for the host or for its turn.
    fn suspends(&self) -> bool;
    /// Whether one instance has to be held for the length of a body that comes in chunks: it keeps what it must remember
    /// of it. Otherwise the exchange does.
    fn pins(&self) -> bool;
    /// An instance that is idle.
    fn idle(&self) -> Option<Self::Guest>;
    /// An instance, as soon as there is one.
    async fn checkout(&self) -> Result<Self::Guest, Error>;
    /// Its answer can't be used.
    fn answered_nonsense(&self) {}
    /// Tells the operator that it failed; `passed_by` by the policy `open`.
    fn warn(&self, error: &Error, passed_by: bool);
}

/// An instance of a plugin.
#[expect(async_fn_in_trait, reason = "as in `Link`")]
pub trait Guest: 'static {
    /// One phase call; `index` is the plugin's place in the chain. It puts the exchange back, also when it is dropped, and
    /// adds its time to the exchange's measures. The action is one that the phase has.
    async fn call(&mut self, of: &mut Lent, index: usize, call: Call<'_>) -> Result<Action, Error>;
    /// It is held between calls from here on. Whoever lent it may take it back meanwhile; the next call then fails.
    fn pin(&mut self) {}
}

/// The exchange behind its lock.
pub type Lent = Option<Box<Exchange>>;

/// An instance, with the exchange. The lock is given up where an instance has to be waited for: a streaming body may hold
/// the last one, and needs the lock to give it back.
pub(super) async fn ready<'a, L: Link>(
    link: &Rc<L>,
    shared: &'a SharedExchange,
    lent: ExchangeGuard<'a>,
) -> (Result<L::Guest, Error>, ExchangeGuard<'a>) {
    if let Some(guest) = link.idle() {
        return (Ok(guest), lent);
    }
    drop(lent);
    let guest = link.checkout().await;
    (guest, shared.lock().await)
}

/// An error that says which plugin it is about.
pub(super) fn named(plugin: &str, error: &Error) -> Error {
    Error::new(error.kind(), safe!("plugin `", Configured(plugin), "`: ", *error.safe_detail()))
}

/// Whether an exchange goes on where a plugin with this policy failed like that.
pub(super) fn passes(policy: OnFailure, error: &Error) -> bool {
    policy == OnFailure::Open && error.kind() != ErrorKind::PluginAnswer
}

impl Link for Pool {
    type Guest = Instance;

    fn name(&self) -> &str {
        &self.entry().name
    }

    fn phases(&self) -> Phases {
        self.entry().phases
    }

    fn on_failure(&self) -> OnFailure {
        self.entry().on_failure
    }

    fn storing(&self) -> &Storing {
        &self.entry().storing
    }

    fn suspends(&self) -> bool {
        self.may_wait()
    }

    fn pins(&self) -> bool {
        self.entry().artifact.pins
    }

    fn idle(&self) -> Option<Instance> {
        Self::idle(self)
    }

    async fn checkout(&self) -> Result<Instance, Error> {
        Ok(Self::checkout(self).await?)
    }

    fn answered_nonsense(&self) {
        self.failed("other");
    }

    fn warn(&self, error: &Error, passed_by: bool) {
        Self::warn(self, error, passed_by);
    }
}

impl Guest for Instance {
    async fn call(&mut self, of: &mut Lent, index: usize, call: Call<'_>) -> Result<Action, Error> {
        Self::call(self, of, index, call).await.map_err(PluginError::into)
    }

    fn pin(&mut self) {
        Self::pin(self);
    }
}
