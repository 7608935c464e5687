//! `kv`: what an entry may be, and how long it is there.

use std::borrow::Cow;

use crate::key::{DigestAlgorithm, digest, hex};

/// Longest key that is kept as it is, in bytes; also of buckets and windows in `counters`, and of stored responses.
pub const MAX_KEY: usize = 1 << 10;
/// Largest entry, as [`cost`] counts it: the largest answer of a call, and as much again for what the plugin notes of it.
pub const MAX_ENTRY: usize = 2 << 20;
/// How what is kept by its digest begins.
const BY_DIGEST: &str = "\0sha256:";
/// What an entry costs besides its key and value: two map nodes, roughly.
pub const OVERHEAD: usize = 96;

/// What a key is kept by: itself, or its digest where it is long. How long a key is, a request may decide, and it must
/// not be able to fail the plugin that counts it.
pub fn kept_by(key: &str) -> Cow<'_, str> {
    // What comes of a query or a document may well begin like that, and must not pose as the digest of another key.
    if key.len() <= MAX_KEY && !key.starts_with(BY_DIGEST) {
        return Cow::Borrowed(key);
    }
    Cow::Owned(BY_DIGEST.to_owned() + &hex(&digest(DigestAlgorithm::Sha256, key.as_bytes())))
}

/// What an entry counts, in bytes.
pub const fn cost(key: &str, value: usize) -> usize {
    key.len() + value + OVERHEAD
}

/// The millisecond from which an entry that is set now is gone.
pub fn expires_ms(ttl_ms: Option<u64>, now_ms: u64) -> u64 {
    ttl_ms.map_or(u64::MAX, |ttl| now_ms.saturating_add(ttl))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_kept_by_its_digest_and_no_other_key_is() {
        let key = "k".repeat(MAX_KEY);
        assert_eq!(kept_by(&key), key);
        let [one, other] = ["a", "b"].map(|end| kept_by(&format!("{key}{end}")).into_owned());
        assert!(one != other && one.starts_with("\0sha256:") && one.len() == 72);
        assert_ne!(kept_by(&one), one, "nobody has the name of another key's digest");
    }
}
