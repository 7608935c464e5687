//! The audit trail.

pub mod faults;
pub mod head;
pub mod hex;
mod index;
pub mod keys;
pub mod layout;
pub mod ledger;
pub mod line;
pub mod query;
pub mod record;
pub mod render;
pub mod report;
#[cfg(test)]
mod samples;
#[cfg(feature = "ship")]
pub mod ship;
pub mod storage;
pub mod subjects;
mod text;
pub mod time;
pub mod verify;
pub mod vocabulary;
pub mod words;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct RandomFailed;

/// Random bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomFailed)?;
    Ok(bytes)
}
