//! Rate buckets and sliding sums, exact over all workers.
//!
//! ```
//! use plugin_sdk::{counters::{self, Claim, Rate}, testing::TestHost};
//! let host = TestHost::new();
//! let claim = || counters::take(&[Claim::new("alice", 1, Rate { burst: 2, per_second: 1.0 })]).unwrap().remove(0);
//! host.enter(|| {
//!     assert_eq!(claim().remaining, 1);
//!     assert!(claim().allowed);
//!     assert_eq!(claim().retry_after_ms, 1000);
//! });
//! ```

use std::fmt;
use std::time::Duration;

use crate::exchange::millis;
use crate::raw::counters;

pub use crate::bindings::edge::gateway::counters::{Claim, Decision, Rate};

impl Claim {
    /// A cost from a bucket.
    pub fn new(bucket: impl Into<String>, cost: u32, at: Rate) -> Self {
        Self { bucket: bucket.into(), cost, at }
    }
}

/// More claims at once than the host decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more than 64 claims at once")
    }
}

impl std::error::Error for TooMany {}

/// Takes every cost, or none where one bucket holds less (GCRA); a decision per claim, in their order. Names of buckets are
/// of any length.
///
/// # Errors
/// With more than 64 claims; nothing is taken then. Where a request decides how many there are, refuse it.
#[must_use = "the decisions say who may pass"]
pub fn take(claims: &[Claim]) -> Result<Vec<Decision>, TooMany> {
    counters::try_take(claims).ok_or(TooMany)
}

/// Adds to a counter over a sliding window, and returns the window's sum. A key has one window: with another one it starts
/// over, so where a key is counted over several, put the window into it: `"{user}/1h"`.
pub fn add(key: &str, delta: i64, window: Duration) -> i64 {
    counters::add(key, delta, millis(window))
}
