//! Whether a ledger can be trusted. Every line is read once, as it stands in the files: nothing is taken from an index.
//!
//! What can be shown depends on what somebody else keeps. Without signatures whoever can write the files can make a whole
//! chain anew, so it is ordered and not tamper-proof. With signatures he can remove its end alone, which is found where a
//! head is expected that was kept elsewhere.

mod finding;
mod heads;
mod signatures;
mod walk;

use std::io;
use std::path::Path;

use serde::Serialize;

pub use self::finding::{Finding, Problem};
use crate::head::{ChainName, Head, SignedHead};
use crate::keys::VerifierKey;
use crate::layout;
use crate::record::ChainId;

/// What is known from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Heads that have to be in their chains.
    pub heads: Vec<Head>,
    /// The keys of the gateways. Without any, the key that a chain itself names is used, which proves less.
    pub keys: Vec<VerifierKey>,
}

/// How far a chain can be trusted where nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Signed by a key that the verifier brought.
    Signed,
    /// Signed by a key that the chain itself names.
    SignedByItsOwnWord,
    /// In order, but whoever can write the files could have made all of it.
    Ordered,
}

/// What was read of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Its name.
    pub name: ChainName,
    /// Its id.
    pub id: Option<ChainId>,
    /// How many segments are there.
    pub segments: u64,
    /// How many records are there.
    pub records: u64,
    /// The number of the first record that is there.
    pub first: u64,
    /// Its last record.
    pub head: Option<Head>,
    /// How far it can be trusted.
    pub trust: Trust,
    /// Heads whose signature was right.
    pub signed_heads: u64,
    /// The key that they were signed by, as the last segment names it.
    pub signer: Option<String>,
    /// Segments that were deleted by age, as records say.
    pub deleted_segments: u64,
    /// Records that were written and never confirmed, as the chain says.
    pub unconfirmed: u64,
    /// Bytes that were cut after crashes, as records say.
    pub cut: u64,
    /// Subjects whose keys were deleted.
    pub erased: u64,
}

/// What verification came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The chains that are there.
    pub chains: Vec<Chain>,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies every chain below a directory.
pub fn verify(directory: &Path, known: &Known) -> io::Result<Verification> {
    let mut verification = Verification { chains: Vec::new(), findings: Vec::new() };
    for name in layout::chains(directory)? {
        let (chain, findings) = walk::chain(directory, name, known)?;
        verification.chains.push(chain);
        verification.findings.extend(findings);
    }
    for head in &known.heads {
        if verification.chains.iter().all(|chain| chain.name != head.chain) {
            let problem = Problem::NoChain;
            verification.findings.push(Finding {
                chain: head.chain.clone(),
                file: None,
                line: None,
                seq: None,
                problem,
            });
        }
    }
    Ok(verification)
}

/// The heads of all chains below a directory. Nothing is verified.
pub fn heads(directory: &Path) -> io::Result<Vec<SignedHead>> {
    let mut found = Vec::new();
    for name in layout::chains(directory)? {
        found.extend(heads::head(directory, &name)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
