//! A plugin's place in a chain, and an instance of it, as the chain sees them: a pool with its instances, or a script in
//! tests.

use bytes::Bytes;

use crate::error::{Error, Failure};
use crate::exchange::Exchange;
use crate::model::{OnFailure, Storing};
use crate::plugin::error::PluginError;
use crate::plugin::instance::Instance;
use crate::plugin::phase::{ChunkAction, FailureAction, Phases, RequestAction, ResponseAction};
use crate::plugin::pool::Pool;

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
    /// Whether a call may wait for the host.
    fn suspends(&self) -> bool;
    /// An instance that is idle.
    fn idle(&self) -> Option<Self::Guest>;
    /// An instance, as soon as there is one.
    async fn checkout(&self) -> Result<Self::Guest, Error>;
    /// Its answer can't be used.
    fn answered_nonsense(&self) {}
    /// Tells the operator that it failed; `passed_by` by the policy `open`.
    fn warn(&self, error: &Error, passed_by: bool);
}

/// An instance of a plugin. Every call puts the exchange back, also when it is dropped, and adds its time to the
/// exchange's measures.
#[expect(async_fn_in_trait, missing_docs, reason = "as in `Link`; one function per phase of the contract")]
pub trait Guest: 'static {
    async fn request_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<RequestAction, Error>;
    async fn request_body(&mut self, of: &mut Lent, index: usize, data: Bytes, end: bool)
    -> Result<ChunkAction, Error>;
    async fn response_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<ResponseAction, Error>;
    async fn response_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error>;
    async fn upstream_failure(&mut self, of: &mut Lent, index: usize, why: Failure) -> Result<FailureAction, Error>;
    async fn log(&mut self, of: &mut Lent, index: usize) -> Result<(), Error>;
    /// It is held between calls from here on. Whoever lent it may take it back meanwhile; the next call then fails.
    fn pin(&mut self) {}
}

/// The exchange behind its lock.
pub type Lent = Option<Box<Exchange>>;

/// An error that says which plugin it is about.
pub(in crate::plugin) fn named(plugin: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("plugin `{plugin}`: {}", error.detail()))
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
        self.entry().artifact.suspends
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
    async fn request_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<RequestAction, Error> {
        Self::request_headers(self, of, index, end).await.map_err(PluginError::into)
    }

    async fn request_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error> {
        Self::request_body(self, of, index, data, end).await.map_err(PluginError::into)
    }

    async fn response_headers(&mut self, of: &mut Lent, index: usize, end: bool) -> Result<ResponseAction, Error> {
        Self::response_headers(self, of, index, end).await.map_err(PluginError::into)
    }

    async fn response_body(
        &mut self,
        of: &mut Lent,
        index: usize,
        data: Bytes,
        end: bool,
    ) -> Result<ChunkAction, Error> {
        Self::response_body(self, of, index, data, end).await.map_err(PluginError::into)
    }

    async fn upstream_failure(&mut self, of: &mut Lent, index: usize, why: Failure) -> Result<FailureAction, Error> {
        Self::upstream_failure(self, of, index, why).await.map_err(PluginError::into)
    }

    async fn log(&mut self, of: &mut Lent, index: usize) -> Result<(), Error> {
        Self::log(self, of, index).await.map_err(PluginError::into)
    }

    fn pin(&mut self) {
        Self::pin(self);
    }
}
