//! `X-Request-Id`: the name of a request in logs, towards its upstream and towards its client.

use std::ops::Deref;

use http::{HeaderName, HeaderValue};

use crate::message::FieldMap;

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request: visible ASCII that is harmless in logs and header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// 128 random bits in hex. They only have to be distinct, not secret.
    pub fn random() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = [0; 32];
        for (pair, byte) in id.chunks_exact_mut(2).zip(fastrand::u128(..).to_be_bytes()) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Self(HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("-")))
    }

    /// The id that came along, if there is exactly one and it is harmless.
    pub fn sent(headers: &FieldMap) -> Option<Self> {
        let name: HeaderName = X_REQUEST_ID;
        let mut ids = headers.get_all(name);
        let (id, None) = (ids.next()?, ids.next()) else { return None };
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+=/".contains(byte);
        let bytes = id.as_bytes();
        let fits = (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(harmless);
        fits.then(|| Self(id.clone()))
    }

    /// It as the value of the field, which shares its bytes.
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        // It is ASCII.
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}
