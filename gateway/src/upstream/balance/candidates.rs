//! What a policy sees: of the endpoints, and of the request that is to go to one of them.

use std::net::SocketAddr;
use std::time::Duration;

/// The endpoints of an upstream, by index.
#[allow(dead_code, reason = "each policy asks for what it goes by, and none for everything")]
pub(in crate::upstream) trait Candidates {
    /// How many there are.
    fn count(&self) -> usize;
    /// Where one is: the same for every worker and every gateway.
    fn address(&self, index: usize) -> SocketAddr;
    /// Relative share, from 1.
    fn weight(&self, index: usize) -> u32;
    /// Where it runs, as [`Choice::zone`] tells it of this gateway; `None` where nobody has said.
    fn zone(&self, index: usize) -> Option<&str>;
    /// Requests of this worker that are under way.
    fn in_flight(&self, index: usize) -> u32;
    /// How long this worker has waited for the heads of its responses of late; `None` where none has come.
    fn latency(&self, index: usize) -> Option<Duration>;
    /// Whether it may be chosen at all: it is not left out, and this request has not been there in vain.
    fn usable(&self, index: usize) -> bool;
}

/// What one choice goes by, beside the endpoints.
#[allow(dead_code, reason = "each policy asks for what it goes by, and none for everything")]
pub(in crate::upstream) struct Choice<'a> {
    /// Requests with the same key go to the same endpoint, where the policy keeps to it.
    pub(in crate::upstream) key: Option<u64>,
    /// Where this gateway runs.
    pub(in crate::upstream) zone: Option<&'a str>,
    /// For what is left to chance.
    pub(in crate::upstream) random: &'a mut fastrand::Rng,
}
