//! The head of a chain: the number and hash of a record. Whoever keeps one elsewhere can tell later whether everything up to
//! it is still there, which no chain by itself can show.
//!
//! A signed head is a signed note (C2SP, <https://c2sp.org/signed-note>) whose text has the lines of a checkpoint
//! (<https://c2sp.org/tlog-checkpoint>): origin, number, hash. It is none of a transparency log: the hash is of a chain and
//! not of a Merkle tree (RFC 6962), which the origin's first word says.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hex::Hash;
use crate::keys::{SigningKey, VerifierKey};
use crate::record::ChainId;
use crate::text::as_display;
use crate::time::Timestamp;
use crate::words::{Name, Retention};

/// Which chain: that of a gateway and a retention class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainName {
    /// The gateway that writes it.
    pub gateway: Name,
    /// How long its records are kept.
    pub retention: Retention,
}

impl fmt::Display for ChainName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.gateway, self.retention)
    }
}

/// A record of a chain, by number and hash: `edge-1/365d:1234:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which chain.
    pub chain: ChainName,
    /// The record's number.
    pub seq: u64,
    /// The record's hash.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.chain, self.seq, self.hash)
    }
}

as_display!(ChainName Head);

/// A head, and what is signed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The chain's last record, whose signature is in it.
    pub head: Head,
    /// The signed note of the record before it; none where the chain is not signed.
    pub note: Option<String>,
}

/// What is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no head; write GATEWAY/CLASS:NUMBER:HASH, as `gateway audit head` prints it")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let mut parts = text.split(':');
        let (Some(chain), Some(seq), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidHead);
        };
        let (gateway, retention) = chain.split_once('/').ok_or(InvalidHead)?;
        let chain = ChainName {
            gateway: gateway.parse().map_err(|_| InvalidHead)?,
            retention: retention.parse().map_err(|_| InvalidHead)?,
        };
        let (seq, hash) = (seq.parse().map_err(|_| InvalidHead)?, hash.parse().map_err(|_| InvalidHead)?);
        Ok(Self { chain, seq, hash })
    }
}

/// What the signature of a head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The record.
    pub head: Head,
    /// Which chain, by its random id.
    pub id: ChainId,
    /// When it was signed.
    pub time: Timestamp,
}

impl Statement {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let hash = STANDARD.encode(self.head.hash.0);
        format!("audit-chain/{}/{}\n{}\n{hash}\n{}\n", self.head.chain, self.id, self.head.seq, self.time)
    }

    /// Its signature as a signed note writes it: base64 of the key's id and the Ed25519 signature.
    pub fn sign(&self, key: &SigningKey) -> String {
        let mut bytes = key.verifier().id().to_vec();
        bytes.extend_from_slice(&key.sign(self.text().as_bytes()));
        STANDARD.encode(bytes)
    }

    /// Whether a signature is of this statement and this key.
    pub fn is_signed(&self, signature: &str, key: &VerifierKey) -> bool {
        let Ok(bytes) = STANDARD.decode(signature) else { return false };
        let Some((id, signature)) = bytes.split_first_chunk() else { return false };
        *id == key.id() && key.verifies(self.text().as_bytes(), signature)
    }

    /// The signed note: what somebody else keeps.
    pub fn note(&self, signature: &str, key: &VerifierKey) -> String {
        format!("{}\n\u{2014} {} {signature}\n", self.text(), key.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let head = samples::head();
        assert_eq!(head.to_string().parse(), Ok(head.clone()));
        for text in ["", "edge-1/365d:1", "edge-1:1:00", &format!("{head}:"), &head.to_string().to_uppercase()] {
            assert_eq!(text.parse::<Head>(), Err(InvalidHead), "{text}");
        }
    }

    #[test]
    fn a_signature_is_of_one_statement_and_one_key() {
        let key = samples::signing_key(1);
        let statement = Statement { head: samples::head(), id: ChainId([7; 16]), time: Timestamp::from_micros(5) };
        let signature = statement.sign(&key);
        assert!(statement.is_signed(&signature, key.verifier()));
        assert!(!statement.is_signed(&signature, samples::signing_key(2).verifier()));
        assert!(!statement.is_signed("", key.verifier()));
        assert!(!statement.is_signed(&signature[4..], key.verifier()));
        let mut other = statement.clone();
        other.head.seq += 1;
        assert!(!other.is_signed(&signature, key.verifier()));
        let note = statement.note(&signature, key.verifier());
        assert!(note.starts_with("audit-chain/edge-1/365d/07070707070707070707070707070707\n7\n"), "{note}");
        assert!(note.ends_with(&format!("\n\n\u{2014} edge-1 {signature}\n")), "{note}");
    }
}
