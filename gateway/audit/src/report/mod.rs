//! Reports of a ledger: the record of processing activities ([`processing`], article 30 of the GDPR), and what a notification of
//! a breach has to say ([`breach`], article 33).

pub mod breach;
pub mod processing;
mod tally;

use serde::Serialize;

use crate::time::Timestamp;

/// The time that a report is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From then on.
    pub from: Option<Timestamp>,
    /// Up to then, without it.
    pub to: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
