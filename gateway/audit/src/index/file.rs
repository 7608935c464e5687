//! An index as a file: a first line of JSON with what rows name by number, then the rows, then SHA-256 over all of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Index, Kind, Row, State, Tables};
use crate::record::{Pseudonym, RequestId};
use crate::time::Timestamp;
use crate::vocabulary::Outcome;

/// Who may read it: as the segment.
const MODE: u32 = 0o640;
/// Changes with the form of the file.
const VERSION: u32 = 1;
/// Bytes of a row: time, offset, request, caller, kind and outcome, status, two numbers.
const ROW: usize = 8 + 8 + 16 + 16 + 1 + 1 + 2 + 4 + 4;

const OPENING: u8 = 0;
const CLOSING: u8 = 1;
/// Added to the kind where the caller is known.
const CALLER: u8 = 2;
/// The longest first line that is read to skip a segment; behind a longer one the whole index is.
const MAX_HEADER: u64 = 1 << 20;
/// The number of no upstream.
const NONE: u32 = u32::MAX;

#[derive(Serialize, Deserialize)]
struct Header<T> {
    version: u32,
    state: State,
    /// When the first and the last exchange began.
    span: (Timestamp, Timestamp),
    tables: T,
}

/// Writes an index so that its name leads to all of it or nothing. Not synced: it can be made again.
pub(super) fn write(path: &Path, index: &Index) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(&Header {
        version: VERSION,
        state: index.state,
        span: index.span(),
        tables: &index.tables,
    })?;
    bytes.push(b'\n');
    bytes.reserve(index.rows.len() * ROW + 32);
    index.rows.iter().for_each(|row| push(&mut bytes, row));
    bytes.extend_from_slice(digest(&SHA256, &bytes).as_ref());
    let id: [u8; 8] = crate::random().map_err(io::Error::other)?;
    let new = path.with_extension(format!("index-{:016x}", u64::from_be_bytes(id)));
    let written = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new);
    let written = written.and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Reads an index; `None` where it is none, is damaged, or is of another state of the segment.
pub(super) fn read(bytes: &[u8], state: &State) -> Option<Index> {
    let (content, sum) = bytes.split_last_chunk::<32>()?;
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let header: Header<Tables> = serde_json::from_slice(&content[..end]).ok()?;
    if header.version != VERSION || header.state != *state || digest(&SHA256, content).as_ref() != sum {
        return None;
    }
    let (rows, rest) = content[end + 1..].as_chunks::<ROW>();
    let rows = rows.iter().map(|bytes| row(bytes, &header.tables)).collect::<Option<_>>()?;
    rest.is_empty().then_some(Index { state: header.state, tables: header.tables, rows })
}

/// When the first and the last exchange of a segment began, from the first line alone.
pub(super) fn span(path: &Path, state: &State) -> Option<(Timestamp, Timestamp)> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?).take(MAX_HEADER).read_until(b'\n', &mut line).ok()?;
    let header: Header<IgnoredAny> = serde_json::from_slice(&line).ok()?;
    (header.version == VERSION && header.state == *state).then_some(header.span)
}

fn push(into: &mut Vec<u8>, row: &Row) {
    let (kind, outcome, status, one, two) = match row.kind {
        Kind::Opening { route, upstream } => (OPENING, 0, 0, route, upstream.unwrap_or(NONE)),
        Kind::Closing { seen, outcome, status } => (CLOSING, outcome as u8, status, seen, 0),
    };
    into.extend_from_slice(&row.time.micros().to_le_bytes());
    into.extend_from_slice(&row.offset.to_le_bytes());
    into.extend_from_slice(&row.request.0);
    into.extend_from_slice(&row.caller.map_or([0; 16], |caller| caller.0));
    into.push(kind + if row.caller.is_some() { CALLER } else { 0 });
    into.push(outcome);
    into.extend_from_slice(&status.to_le_bytes());
    into.extend_from_slice(&one.to_le_bytes());
    into.extend_from_slice(&two.to_le_bytes());
}

fn row(bytes: &[u8; ROW], tables: &Tables) -> Option<Row> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let small = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let id = |at: usize| bytes[at..at + 16].try_into().unwrap_or_default();
    let known = |number: u32, count: usize| (number as usize) < count;
    let (kind, one, two) = (bytes[48], small(52), small(56));
    let kind_of = match kind & 1 {
        OPENING if known(one, tables.routes.len()) && (two == NONE || known(two, tables.upstreams.len())) => {
            Kind::Opening { route: one, upstream: (two != NONE).then_some(two) }
        }
        CLOSING if known(one, tables.seen.len()) => Kind::Closing {
            seen: one,
            outcome: *Outcome::ALL.get(usize::from(bytes[49]))?,
            status: u16::from_le_bytes([bytes[50], bytes[51]]),
        },
        _ => return None,
    };
    Some(Row {
        time: Timestamp::from_micros(number(0)),
        offset: number(8),
        request: RequestId(id(16)),
        caller: (kind & CALLER != 0).then(|| Pseudonym(id(32))),
        kind: kind_of,
    })
}
