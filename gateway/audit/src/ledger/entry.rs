//! Records as callers hand them over: encoded on the caller's thread, without a place in a chain yet.

use serde::Serialize;

use super::chain::Unlinked;
use crate::record::{Closing, Opening, Pseudonym};
use crate::subjects::Caller;
use crate::time::Timestamp;
use crate::words::Retention;

/// A record that is to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) retention: Retention,
    pub(super) time: Timestamp,
    pub(super) caller: Option<Caller>,
    pub(super) body: Vec<u8>,
}

/// [`crate::record::Body`] of what is borrowed.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Borrowed<'a> {
    Closing(&'a Closing),
    Opening(&'a Opening),
}

impl Entry {
    /// The beginning of an exchange, at this time, by this caller. Its route says how long it is kept.
    pub fn opening(time: Timestamp, caller: Option<Caller>, opening: &Opening) -> Self {
        Self::new(opening.route.retention, time, caller, &Borrowed::Opening(opening))
    }

    /// The end of an exchange on a route of this class.
    pub fn closing(retention: Retention, time: Timestamp, caller: Option<Caller>, closing: &Closing) -> Self {
        Self::new(retention, time, caller, &Borrowed::Closing(closing))
    }

    /// It with a place in a chain to come.
    pub(super) fn unlinked(&self, caller: Option<Pseudonym>) -> Unlinked<'_> {
        Unlinked { body: &self.body, caller, time: self.time }
    }

    fn new(retention: Retention, time: Timestamp, caller: Option<Caller>, body: &Borrowed<'_>) -> Self {
        // Memory takes what it is given, and no map here has keys that are no strings: this does not fail. If it did, the
        // record would be none that anybody knows, which verification says.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { retention, time, caller, body }
    }
}
