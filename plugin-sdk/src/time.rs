//! Clocks. `std::time::SystemTime::now` panics in a plugin; these ask the host.
//!
//! ```
//! use std::time::Duration;
//! use plugin_sdk::{testing::TestHost, time};
//! let host = TestHost::new();
//! let before = host.enter(time::monotonic);
//! host.advance(Duration::from_secs(2));
//! assert_eq!(host.enter(time::monotonic) - before, Duration::from_secs(2));
//! ```

use std::time::Duration;

use crate::raw::sys;

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    sys::unix_ms()
}

/// Time since 1970-01-01 UTC.
pub fn unix() -> Duration {
    Duration::from_millis(sys::unix_ms())
}

/// A clock that never goes back, from an arbitrary start.
pub fn monotonic() -> Duration {
    Duration::from_nanos(sys::monotonic_ns())
}
