//! Secrets that the operator granted to this plugin.
//!
//! ```
//! use plugin_sdk::{secrets, testing::TestHost};
//! let host = TestHost::new().secret("hmac", "s3cret");
//! assert_eq!(host.enter(|| secrets::get("hmac")).as_deref(), Some(b"s3cret".as_slice()));
//! assert_eq!(host.enter(|| secrets::get("other")), None);
//! ```

/// A secret by its name; `None` where there is none of that name, or it isn't granted.
pub fn get(name: &str) -> Option<Vec<u8>> {
    crate::raw::secrets::get(name)
}
