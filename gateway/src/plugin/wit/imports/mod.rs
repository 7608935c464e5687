//! What guests may call back: one file per interface of the contract.
//!
//! Every host function begins with [`HostState::charge`]; what a guest hands over is validated before anything is
//! changed. A mistake that a good plugin can make is an error value, a breach of bounds is a trap.
//!
//! [`HostState::charge`]: super::state::HostState::charge

mod audit;
mod calls;
mod calls_trace;
mod counters;
pub(super) mod crypto;
pub(super) mod fast;
mod http;
mod kv;
mod metrics;
mod secrets;
mod sys;
mod trace;
pub(super) mod waiting;
