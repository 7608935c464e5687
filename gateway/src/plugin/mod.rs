//! The plugin host: loads wasm plugins from a directory, keeps instances per worker, and calls them phase by phase.
//!
//! The way of a plugin: [`registry`] reads a file ([`artifact`]), makes it a component ([`componentize`],
//! [`reexport`]), checks what it imports against the operator's [`grants`], and binds it to each place that names it
//! ([`entry`]). A worker keeps a [`pool`] per entry (its [`stock`] of instances is bounded by a [`budget`]) and calls an
//! [`instance`] under [`limits`]; what the guest may call back is in [`host`].
//!
//! Invariants: a guest's failure costs one call; an exchange lent to a call always comes back; no byte of a guest
//! reaches a message unchecked; the host opens no sockets but through [`host::calls`].

mod artifact;
mod budget;
pub mod chain;
pub(crate) mod componentize;
mod encoding;
mod engine;
mod entry;
mod error;
mod grants;
pub mod host;
mod instance;
mod limits;
pub mod phase;
mod pool;
mod reexport;
mod registry;
mod status;
mod stock;
pub mod stored;
mod stream;
mod whole;

pub(crate) use artifact::MAX_BYTES;
pub use artifact::{Artifact, Inspection, inspect};
pub use engine::{Host, HostOptions, instances_per_worker};
pub use entry::Entry;
pub use error::{HostError, LoadError, Overrun, PluginError, PluginProblem};
pub use grants::Need;
pub use host::calls::{CallError, CallResponse, OutboundCall};
pub use host::metrics::{NoMetrics, PluginMetricsSink};
pub use instance::Instance;
pub use pool::{Pool, WorkerHost};
pub use registry::{Accepted, Findings, InForce, Judgement, PluginSet, Registry};
pub use status::{FileState, Status};
pub(crate) use whole::Whole;
