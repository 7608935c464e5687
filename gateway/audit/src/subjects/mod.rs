//! Who called, without saying who. A principal is looked up by an HMAC under the operator's pseudonym key; what is found is a
//! random key of that subject, kept in a file of its own ([`store`]); the pseudonym in records is derived from it. Without
//! the subject's key nobody can tell whose records they are, not even who has the pseudonym key.

pub mod erase;
pub mod store;

use std::fmt;

use aws_lc_rs::hmac;
use smallvec::SmallVec;

use crate::hex::hex_type;
use crate::record::Pseudonym;

hex_type!(
    /// What a subject is looked up by: an HMAC of the principal.
    Tag,
    32
);

/// What is authenticated before a principal, and before nothing else.
const LOOK_UP: &[u8] = b"gateway-audit-subject-v1\0";
/// What a subject's key makes a pseudonym of.
const PSEUDONYM: &[u8] = b"gateway-audit-pseudonym-v1\0";

/// The operator's pseudonym keys. Cheap to ask; each worker has its own.
#[derive(Clone)]
pub struct PseudonymKeys(Vec<hmac::Key>);

/// The pseudonym keys can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPseudonymKeys {
    /// None at all.
    #[error("there is no pseudonym key")]
    None,
    /// Too short to be secret (RFC 2104 section 3 asks for the length of the hash).
    #[error("a pseudonym key is shorter than 32 bytes; make one: openssl rand -hex 32")]
    Short,
}

/// Somebody who calls, as the ledger is told: what to look them up by.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller(SmallVec<[Tag; 1]>);

impl PseudonymKeys {
    /// The current key first, then those that it has replaced, as long as subjects known by them shall be found.
    pub fn new(keys: &[impl AsRef<[u8]>]) -> Result<Self, InvalidPseudonymKeys> {
        if keys.is_empty() {
            return Err(InvalidPseudonymKeys::None);
        }
        if keys.iter().any(|key| key.as_ref().len() < 32) {
            return Err(InvalidPseudonymKeys::Short);
        }
        Ok(Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())).collect()))
    }

    /// How the ledger is told of this principal.
    pub fn caller(&self, principal: &[u8]) -> Caller {
        let tag = |key| {
            let mut context = hmac::Context::with_key(key);
            context.update(LOOK_UP);
            context.update(principal);
            let mut bytes = [0; 32];
            bytes.copy_from_slice(context.sign().as_ref());
            Tag(bytes)
        };
        Caller(self.0.iter().map(tag).collect())
    }
}

impl fmt::Debug for PseudonymKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PseudonymKeys({})", self.0.len())
    }
}

impl Caller {
    /// By the current key, then by those before it.
    pub(crate) fn tags(&self) -> &[Tag] {
        &self.0
    }
}

/// No tag: whoever has one and the pseudonym key can try principals.
impl fmt::Debug for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Caller")
    }
}

/// The pseudonym of whom this key belongs to.
fn pseudonym(key: &[u8; 32]) -> Pseudonym {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), PSEUDONYM);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    Pseudonym(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_and_shown_by_nobody() {
        assert_eq!(PseudonymKeys::new(&[] as &[&[u8]]).err(), Some(InvalidPseudonymKeys::None));
        assert_eq!(PseudonymKeys::new(&[[1; 31]]).err(), Some(InvalidPseudonymKeys::Short));
        let keys = PseudonymKeys::new(&[[1; 32], [2; 32]]).unwrap();
        let caller = keys.caller(b"kari@example.no");
        assert_eq!(format!("{keys:?} {caller:?}"), "PseudonymKeys(2) Caller");
        assert_eq!(caller.tags().len(), 2);
        assert_eq!(caller.tags()[1], PseudonymKeys::new(&[[2; 32]]).unwrap().caller(b"kari@example.no").tags()[0]);
        assert_ne!(caller, keys.caller(b"kari@example.n"));
    }
}
