//! The audit trail: a ledger of where personal data went. Who sent which kind of it where, why and when, and whether the
//! record can be trusted (GDPR articles 5(2), 30 and 33). It is evidence, so it is written before things happen, and it
//! never holds a value.
//!
//! # Writing
//!
//! A [`ledger::Ledger`] takes two records of each exchange: one before the first byte goes upstream, one before the
//! client's last byte. What a record can say is in [`record`]: numbers, words of closed vocabularies, ids, and checked words
//! of the configuration, all made at load. A caller is a [`subjects::Caller`], from which the ledger makes a pseudonym. What
//! follows where a record is not confirmed ([`ledger::AppendError`]) is the caller's policy.
//!
//! ```
//! # use std::{sync::Arc, time::SystemTime};
//! # use audit::{ledger::*, record::*, storage::Disk, subjects::PseudonymKeys, vocabulary::*};
//! # async fn exchange() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?.path().to_owned();
//! // At the start.
//! let settings = Settings::new(directory, "edge-1".parse()?);
//! let (ledger, opened) = Ledger::open(settings, Arc::new(Disk))?;
//! assert!(opened.recoveries.is_empty());
//! let keys = PseudonymKeys::new(&[b"a secret of at least 32 bytes, from the configuration"])?;
//! let route = Route {
//!     legal_basis: "contract".parse()?,
//!     name: "orders".parse()?,
//!     purpose: "order handling".parse()?,
//!     retention: "365d".parse()?,
//! };
//! // For each exchange.
//! let (request, caller) = (RequestId::random()?, Some(keys.caller(b"kari")));
//! let opening = Opening { request, route, trace: None, upstream: None };
//! ledger.append(Entry::opening(SystemTime::now().into(), caller.clone(), &opening)).await?;
//! let closing = Closing::new(request, 200, Outcome::Complete);
//! let retention = opening.route.retention;
//! ledger.append(Entry::closing(retention, SystemTime::now().into(), caller, &closing)).await?;
//! # ledger.close();
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(exchange()).unwrap();
//! ```
//!
//! One thread of its own writes: it links, signs, groups and syncs. A failed sync is not tried again: the segment is left, and
//! the next one says what was not confirmed. What is on disk has the form that `FORMAT.md` beside this crate describes.
//!
//! # Asking
//!
//! [`verify`] reads every line and says what is wrong and where. [`query`] and [`report`] answer from an index that is made of the
//! segments. [`render`] has what the command line shows. To erase a subject, [`ledger::Ledger::erase`] where the process writes
//! the ledger itself, and [`subjects::erase::request`] where another one does. [`ship`] copies what is closed to object storage.

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
