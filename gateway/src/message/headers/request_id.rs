//! `X-Request-Id`: the name of a request in logs, towards its upstream and towards its client.

use std::ops::Deref;

use smallvec::SmallVec;

use crate::message::{FieldMap, FieldValue, known};

/// The longest id that is taken over, in bytes.
const MAX_LENGTH: usize = 128;

/// The id of a request: visible ASCII that is harmless in logs and header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(SmallVec<[u8; LENGTH]>);

/// The length of ids that are made here.
const LENGTH: usize = 32;

impl RequestId {
    /// 128 random bits in hex. They only have to be distinct, not secret.
    pub fn random() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = [0; LENGTH];
        for (pair, byte) in id.chunks_exact_mut(2).zip(fastrand::u128(..).to_be_bytes()) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Self(SmallVec::from_buf(id))
    }

    /// The id that came along, if there is exactly one and it is harmless.
    pub fn sent(headers: &FieldMap) -> Option<Self> {
        let mut ids = headers.get_all(&known::X_REQUEST_ID);
        let (id, None) = (ids.next()?, ids.next()) else { return None };
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+=/".contains(byte);
        let bytes = id.expose();
        let fits = (1..=MAX_LENGTH).contains(&bytes.len()) && bytes.iter().all(harmless);
        fits.then(|| Self(SmallVec::from_slice(bytes)))
    }

    /// It as the value of the field.
    pub fn value(&self) -> FieldValue<'_> {
        FieldValue::of(&self.0).unwrap_or_default()
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        // It is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
