//! A WebAssembly-extensible edge gateway.
//!
//! The modules are listed in the order in which a request meets them; `ARCHITECTURE.md` beside this crate's manifest
//! tells the life of a request, the code map and the invariants.

pub mod cli;
pub mod gateway;
pub mod snapshot;
pub mod worker;

pub mod listener;
pub mod protocol;

pub mod memory;

pub mod exchange;
pub mod handler;
pub mod http1;
pub mod pipeline;
mod pki;
pub mod route;
pub mod serving;

pub mod plugin;

pub mod upstream;

pub mod message;

pub mod model;

pub mod access_log;
pub mod audit;
pub mod error;
pub mod response;
pub mod sanitize;
pub mod sensitive;
pub mod trace;

pub mod admin;
pub mod config;
pub mod state;
pub mod telemetry;
mod timer;
pub mod watch;

// The phases of an exchange are the contract's.
pub use plugin_rules::phase;

#[doc(hidden)]
pub mod fuzzing;
