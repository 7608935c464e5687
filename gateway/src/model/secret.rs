//! The `secrets` section.

use http::HeaderValue;

use crate::sensitive::Sensitive;

/// A secret's bytes; never printed.
///
/// ```
/// let secret = gateway::model::Secret::new(b"kari".to_vec());
/// assert!(!format!("{secret:?}").contains("kari"));
/// ```
///
/// ```compile_fail
/// let secret = gateway::model::Secret::new(b"kari".to_vec());
/// assert!(!format!("{secret}").contains("kari"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(Sensitive<Vec<u8>>);

impl Secret {
    /// Of these bytes.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(Sensitive::new(bytes))
    }

    /// Its bytes, for whoever it is granted to.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// As the value of a header field, where it can be one (RFC 9110 section 5.5).
    pub fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.expose()).ok().filter(|value| value.to_str().is_ok())
    }
}
