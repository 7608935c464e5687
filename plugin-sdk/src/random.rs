//! Random bytes of cryptographic quality, from the host. A test host's are the same in every run.
//!
//! ```
//! use plugin_sdk::{random, testing::TestHost};
//! let (one, two) = TestHost::new().enter(|| (random::bytes::<16>(), random::bytes::<16>()));
//! assert_ne!(one, two);
//! ```

use crate::raw::sys;

/// Random bytes; at most 64 KiB at once.
///
/// # Panics
/// With more, in tests as in the gateway, where that ends the plugin.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    let given = sys::random(u32::try_from(N).unwrap_or(u32::MAX));
    assert_eq!(given.len(), N, "the host gave fewer random bytes than asked for");
    out.copy_from_slice(&given);
    out
}

/// A random number.
pub fn u64() -> u64 {
    u64::from_le_bytes(bytes())
}
