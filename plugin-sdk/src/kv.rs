//! State of this plugin that outlives an exchange, shared by all its instances in this route entry.
//!
//! ```
//! use plugin_sdk::{kv, testing::TestHost};
//! let host = TestHost::new();
//! host.enter(|| {
//!     kv::set("seen", b"1", None);
//!     let seen = kv::update("seen", None, |old| Some([old.unwrap_or_default(), b"1"].concat()));
//!     assert_eq!(seen, Ok(()));
//! });
//! assert_eq!(host.kv("seen").as_deref(), Some(b"11".as_slice()));
//! ```

use std::time::Duration;

use crate::exchange::millis;
use crate::raw::kv;

pub use crate::bindings::edge::gateway::kv::Entry;

/// The entry of this key.
pub fn get(key: &str) -> Option<Entry> {
    kv::get(key)
}

/// Sets an entry, for this long where a time is given; its new version.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> u64 {
    kv::set(key, value, ttl.map(millis))
}

/// Removes an entry.
pub fn delete(key: &str) {
    kv::delete(key);
}

/// Sets (or with no value removes) an entry where its version is `expect`, none meaning that there is no entry. The
/// error is the entry that was there instead.
pub fn compare_and_swap(
    key: &str,
    expect: Option<u64>,
    value: Option<&[u8]>,
    ttl: Option<Duration>,
) -> Result<u64, Option<Entry>> {
    kv::compare_and_swap(key, expect, value, ttl.map(millis))
}

/// Others changed the entry each time that this plugin tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contended;

/// Changes an entry by compare-and-swap, trying again when another instance was faster. `change` may run several times.
pub fn update(
    key: &str,
    ttl: Option<Duration>,
    mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
) -> Result<(), Contended> {
    let mut seen = get(key);
    for _ in 0..64 {
        let value = change(seen.as_ref().map(|entry| entry.value.as_slice()));
        match compare_and_swap(key, seen.as_ref().map(|entry| entry.version), value.as_deref(), ttl) {
            Ok(_) => return Ok(()),
            Err(entry) => seen = entry,
        }
    }
    Err(Contended)
}
