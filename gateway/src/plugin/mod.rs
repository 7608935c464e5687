//! The plugin host: loads wasm plugins from a directory, keeps instances per worker, and calls them phase by phase.
//!
//! The way of a plugin: [`registry`] reads a file ([`artifact`]), sees that it may be trusted ([`trust`]), and has it loaded
//! ([`loads`]), for which a process of its own makes it a component ([`componentize`], [`reexport`]) and compiles it
//! ([`compile`]); its imports are checked against the operator's [`grants`], and it is bound to each place that names it
//! ([`entry`]). A worker keeps a [`pool`] per entry
//! (its [`stock`] of instances is bounded by a [`budget`], those that wait for calls of their own by [`callers`]) and calls an
//! [`instance`] under [`limits`]. How an entry's calls went ([`conduct`]) decides on whose stack the next ones run, and whether
//! at all; those that take long take [`turns`], at the pace of the [`ticker`]. Between a [`chain`]
//! and an instance everything is the gateway's own ([`call`]); what the guest speaks is the adapter's ([`wit`]), and what it may call back is in [`host`].
//!
//! Invariants: a guest's failure costs one call; an exchange lent to a call always comes back; no byte of a guest
//! reaches a message unchecked; the host opens no sockets but through [`host::calls`].

mod artifact;
mod budget;
pub mod call;
mod callers;
pub mod chain;
mod compile;
pub(crate) mod componentize;
mod conduct;
mod context;
mod encoding;
mod engine;
mod entry;
mod error;
mod grants;
pub mod host;
mod instance;
mod limits;
mod loads;
mod maker;
mod manifest;
mod measure;
mod pool;
mod reexport;
mod registry;
mod serving;
mod status;
mod stock;
pub mod stored;
mod symbols;
mod ticker;
mod trial;
mod trust;
mod turns;
mod whole;
mod wit;

pub use artifact::Artifact;
pub(crate) use artifact::MAX_BYTES;
pub use compile::{compiler_at, inspect, serve as serve_compilation, this_program};
pub use engine::{Host, HostError, HostOptions, instances_per_worker};
pub use entry::Entry;
pub use error::{LoadError, Overrun, PluginError, PluginProblem};
pub use grants::Need;
pub use host::calls::{CallError, CallResponse, OutboundCall};
pub use instance::Instance;
pub use manifest::Inspection;
pub use measure::{PhaseCost, Sample, measure};
pub use pool::{Pool, WorkerHost};
pub use precompiled::Compiler;
pub use registry::{Accepted, Findings, InForce, Judgement, PluginSet, Registry};
pub use status::{FileState, Status};
pub use symbols::CodePlace;
pub(crate) use trust::{check_pin, check_signature, signature_file};
pub(crate) use whole::Whole;
