//! A record as a line: the canonical form of the ledger.
//!
//! ```json
//! {"hash":"…","record":{"body":{"opening":{…}},"caller":"…","prev":"…","seq":7,"time":"…"}}
//! ```
//!
//! The record is JSON in the form of RFC 8785 (JCS): no space, members in order, integers only. `hash` is SHA-256 over
//! [`DOMAIN`] and the bytes of the record as they stand there, so whoever checks a line hashes what he reads, and need not
//! write it anew. `prev` is the hash of the record before.

use aws_lc_rs::digest;

use crate::hex::{self, Hash};
use crate::record::{Body, Pseudonym, Record};
use crate::time::Timestamp;

/// What is hashed before a record, so that no hash of the chain is one of something else.
pub const DOMAIN: &[u8] = b"gateway-audit-record-v1\0";

/// The longest line that is read; written ones are far shorter.
pub const MAX_LENGTH: usize = 64 << 10;

const BEFORE_HASH: &[u8] = b"{\"hash\":\"";
const BEFORE_RECORD: &[u8] = b"\",\"record\":";
const RECORD_AT: usize = BEFORE_HASH.len() + 64 + BEFORE_RECORD.len();

/// What is wrong with a line. Nothing of the line is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Its frame is not that of a line.
    #[error("is no line of a ledger")]
    Frame,
    /// Hash and content differ.
    #[error("was changed: its hash is of another content")]
    Changed,
    /// The content is no record.
    #[error("holds no record that is known here")]
    Unknown,
}

/// A line taken apart; nothing is checked yet but its frame.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The hash that it says it has.
    pub hash: Hash,
    /// The bytes of its record.
    pub record: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart, which is without its end.
    pub fn split(line: &'a [u8]) -> Result<Self, LineError> {
        let framed = line.len() > RECORD_AT
            && line.starts_with(BEFORE_HASH)
            && line[RECORD_AT - BEFORE_RECORD.len()..].starts_with(BEFORE_RECORD)
            && line.ends_with(b"}");
        if !framed {
            return Err(LineError::Frame);
        }
        let hash = hex::parse(&line[BEFORE_HASH.len()..BEFORE_HASH.len() + 64]).ok_or(LineError::Frame)?;
        Ok(Self { hash: Hash(hash), record: &line[RECORD_AT..line.len() - 1] })
    }

    /// The hash that its content has.
    pub fn computed(&self) -> Hash {
        hash(self.record)
    }

    /// The record, without a look at hashes.
    pub fn parse(&self) -> Result<Record, LineError> {
        serde_json::from_slice(self.record).map_err(|_| LineError::Unknown)
    }

    /// A line whose hash is that of its content, and its record.
    pub fn check(line: &'a [u8]) -> Result<(Hash, Record), LineError> {
        let line = Self::split(line)?;
        if line.computed() != line.hash {
            return Err(LineError::Changed);
        }
        Ok((line.hash, line.parse()?))
    }
}

fn hash(record: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DOMAIN);
    context.update(record);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Hash(bytes)
}

/// A record's body in its canonical form, ready to be linked.
///
/// # Errors
///
/// What serde makes of a writer that fails, which memory does not.
pub fn body(body: &Body) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(body)
}

/// Where a record stands in its chain, and whom it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) caller: Option<Pseudonym>,
    pub(crate) prev: Hash,
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
}

/// Appends a record as a line, and says its hash.
pub(crate) fn push(into: &mut Vec<u8>, body: &[u8], link: &Link) -> Hash {
    let start = into.len();
    into.extend_from_slice(BEFORE_HASH);
    into.extend_from_slice(&[b'0'; 64]);
    into.extend_from_slice(BEFORE_RECORD);
    into.extend_from_slice(b"{\"body\":");
    into.extend_from_slice(body);
    if let Some(caller) = link.caller {
        into.extend_from_slice(b",\"caller\":\"");
        hex::push(into, &caller.0);
        into.push(b'"');
    }
    into.extend_from_slice(b",\"prev\":\"");
    hex::push(into, &link.prev.0);
    into.extend_from_slice(b"\",\"seq\":");
    push_number(into, link.seq);
    into.extend_from_slice(b",\"time\":\"");
    link.time.push(into);
    into.extend_from_slice(b"\"}");
    let hash = hash(&into[start + RECORD_AT..]);
    let mut digits = Vec::with_capacity(64);
    hex::push(&mut digits, &hash.0);
    into[start + BEFORE_HASH.len()..start + BEFORE_HASH.len() + 64].copy_from_slice(&digits);
    into.extend_from_slice(b"}\n");
    hash
}

fn push_number(into: &mut Vec<u8>, number: u64) {
    let digits = number.checked_ilog10().unwrap_or(0);
    into.extend((0..=digits).rev().map(|place| b'0' + u8::try_from(number / 10_u64.pow(place) % 10).unwrap_or(0)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::samples;

    /// RFC 8785 for what records consist of: objects, arrays, strings and integers.
    fn canonical(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
                let members =
                    members.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
            plain => plain.to_string(),
        }
    }

    #[test]
    fn every_kind_of_record_is_canonical_and_is_read_as_it_was_written() {
        for record in samples::one_of_each() {
            let link = Link { caller: record.caller, prev: record.prev, seq: record.seq, time: record.time };
            let mut line = Vec::new();
            let hash = push(&mut line, &body(&record.body).unwrap(), &link);
            let line = line.strip_suffix(b"\n").unwrap();
            assert_eq!(Line::check(line), Ok((hash, record)));
            let value: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(canonical(&value), String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_form_of_a_line_is_fixed() {
        let time = "2026-11-30T22:21:17.5Z".parse().unwrap();
        let link = Link { caller: Some(Pseudonym([0xab; 16])), prev: Hash::NONE, seq: 10, time };
        let mut line = Vec::new();
        push(&mut line, b"{\"erasure\":{}}", &link);
        let expected = concat!(
            "{\"hash\":\"bd\",\"record\":{\"body\":{\"erasure\":{}},\"caller\":\"abababababababababababababababab\",",
            "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"seq\":10,",
            "\"time\":\"2026-11-30T22:21:17.500000Z\"}}\n"
        );
        assert_eq!(String::from_utf8_lossy(&line[73..]), expected[11..]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Line::check(&bytes).is_err());
        }

        #[test]
        fn a_changed_byte_is_found(at in any::<prop::sample::Index>(), to in any::<u8>(), which in any::<prop::sample::Index>()) {
            let samples = samples::one_of_each();
            let record = which.get(&samples);
            let link = Link { caller: record.caller, prev: record.prev, seq: record.seq, time: record.time };
            let mut line = Vec::new();
            push(&mut line, &body(&record.body).unwrap(), &link);
            line.pop();
            let place = at.index(line.len());
            prop_assume!(line[place] != to);
            line[place] = to;
            prop_assert!(Line::check(&line).is_err());
        }
    }
}
