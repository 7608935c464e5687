//! State of this plugin that outlives an exchange, shared by all its instances in this route entry. Keys are of any length;
//! the largest answer of a call fits.
//!
//! ```
//! use plugin_sdk::{kv, testing::TestHost};
//! let host = TestHost::new();
//! host.enter(|| {
//!     kv::set("seen", b"1", None).unwrap();
//!     let seen = kv::update("seen", None, |old| Some([old.unwrap_or_default(), b"1"].concat()));
//!     assert_eq!(seen, Ok(()));
//! });
//! assert_eq!(host.kv("seen").as_deref(), Some(b"11".as_slice()));
//! ```

use std::time::Duration;

use crate::TooLarge;
use crate::exchange::millis;
use crate::raw::kv;

pub use crate::bindings::edge::gateway::kv::Entry;

/// The entry of this key.
pub fn get(key: &str) -> Option<Entry> {
    kv::get(key)
}

/// Sets an entry, for this long where a time is given; its new version.
///
/// # Errors
/// Where it is larger than 2 MiB: what was there stays.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<u64, TooLarge> {
    kv::put(key, value, ttl.map(millis)).ok_or(TooLarge)
}

/// Removes an entry.
pub fn delete(key: &str) {
    kv::delete(key);
}

/// Why an entry was not swapped.
#[derive(Clone, Debug)]
pub enum SwapError {
    /// This was there instead of what was expected.
    Changed(Option<Entry>),
    /// The new value is larger than 2 MiB; what was there stays.
    TooLarge,
}

/// Sets (or with no value removes) an entry where its version is `expect`, none meaning that there is no entry.
///
/// # Errors
/// Why it was not.
pub fn compare_and_swap(
    key: &str,
    expect: Option<u64>,
    value: Option<&[u8]>,
    ttl: Option<Duration>,
) -> Result<u64, SwapError> {
    match kv::swap(key, expect, value, ttl.map(millis)) {
        Ok(version) => version.ok_or(SwapError::TooLarge),
        Err(found) => Err(SwapError::Changed(found)),
    }
}

/// Why an entry was not updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// Others changed the entry each time that this plugin tried.
    Contended,
    /// The new value is larger than 2 MiB; what was there stays.
    TooLarge,
}

/// Changes an entry by compare-and-swap, trying again when another instance was faster. `change` may run several times.
///
/// # Errors
/// Why it was not changed.
pub fn update(
    key: &str,
    ttl: Option<Duration>,
    mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
) -> Result<(), UpdateError> {
    let mut seen = get(key);
    for _ in 0..64 {
        let value = change(seen.as_ref().map(|entry| entry.value.as_slice()));
        match compare_and_swap(key, seen.as_ref().map(|entry| entry.version), value.as_deref(), ttl) {
            Ok(_) => return Ok(()),
            Err(SwapError::Changed(entry)) => seen = entry,
            Err(SwapError::TooLarge) => return Err(UpdateError::TooLarge),
        }
    }
    Err(UpdateError::Contended)
}
