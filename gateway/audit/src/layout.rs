//! Where things lie below the directory of a ledger.
//!
//! ```text
//! DIRECTORY/edge-1/lock                       held by the process that writes
//! DIRECTORY/edge-1/erase/ID                   what another process asks to have erased
//! DIRECTORY/edge-1/365d/0000000001.jsonl      a segment of the chain edge-1/365d
//! DIRECTORY/edge-1/365d/0000000001.index      its index; can be made again from it
//! DIRECTORY/edge-1/365d/0000000001.shipped    a copy of it lies in object storage
//! DIRECTORY/.keys/edge-1                      the keys of subjects, unless they are kept elsewhere; never shipped
//! ```

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::head::ChainName;
use crate::line::{Line, MAX_LENGTH};
use crate::record::{Body, Record, SegmentStart};
use crate::words::Name;

/// The directory of a gateway's chains.
pub fn gateway(directory: &Path, gateway: &Name) -> PathBuf {
    directory.join(gateway.as_str())
}

/// The directory of a chain.
pub fn chain(directory: &Path, name: &ChainName) -> PathBuf {
    gateway(directory, &name.gateway).join(name.retention.as_str())
}

/// Where a gateway's key file lies unless the configuration says otherwise.
pub fn keys(directory: &Path, gateway: &Name) -> PathBuf {
    directory.join(".keys").join(gateway.as_str())
}

/// What the process holds that writes a gateway's chains. Copies of a ledger have none.
pub(crate) fn lock(directory: &Path, name: &Name) -> PathBuf {
    gateway(directory, name).join("lock")
}

/// A file of a segment, by its ending.
pub(crate) fn file(chain: &Path, number: u64, ending: &str) -> PathBuf {
    chain.join(format!("{number:010}.{ending}"))
}

/// The ending of segments.
pub(crate) const SEGMENT: &str = "jsonl";
/// The ending of indexes.
pub(crate) const INDEX: &str = "index";
/// The ending of notes that say that a segment lies in object storage.
pub(crate) const SHIPPED: &str = "shipped";

/// The chains below a directory, in the order of their names. What is named otherwise is left alone.
pub fn chains(directory: &Path) -> io::Result<Vec<ChainName>> {
    let mut found = Vec::new();
    for gateway in names(directory)? {
        let Ok(name) = gateway.parse::<Name>() else { continue };
        if !directory.join(&gateway).is_dir() {
            continue;
        }
        for class in names(&directory.join(&gateway))? {
            if let Ok(retention) = class.parse() {
                found.push(ChainName { gateway: name.clone(), retention });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The numbers of the segments in a chain's directory, ascending.
pub fn segments(chain: &Path) -> io::Result<Vec<u64>> {
    let number = |name: &String| {
        let digits = name.strip_suffix(SEGMENT)?.strip_suffix('.')?;
        digits.parse().ok().filter(|number| file(chain, *number, SEGMENT).file_name() == Some(name.as_ref()))
    };
    let mut numbers: Vec<u64> = names(chain)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names in a directory, as far as they are text; none where it does not exist.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default())).collect()
}

/// The first record of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) record: Record,
    pub(crate) segment: SegmentStart,
}

/// Reads the first record of a segment; `None` where its first line is none, or none of a segment's start.
pub(crate) fn start(path: &Path) -> io::Result<Option<Start>> {
    let mut lines = Lines::new(fs::File::open(path)?);
    let Some(line) = lines.next()? else { return Ok(None) };
    let checked = if line.ended { Line::check(line.bytes).ok() } else { None };
    Ok(checked.and_then(|(_, record)| {
        let Body::Segment(segment) = &record.body else { return None };
        Some(Start { segment: (**segment).clone(), record })
    }))
}

/// The lines of a segment, one at a time, none longer than [`MAX_LENGTH`].
pub(crate) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    offset: u64,
}

/// A line of a segment.
pub(crate) struct RawLine<'a> {
    /// Without its end. Of one that is too long, or has no end, what was read.
    pub(crate) bytes: &'a [u8],
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Whether its end is there.
    pub(crate) ended: bool,
}

impl<R: io::Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(256 << 10, input), line: Vec::new(), offset: 0 }
    }

    /// The next line; `None` at the end of the file. What is longer than a line can be comes in parts without an end.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let mut limited = io::Read::take(&mut self.input, MAX_LENGTH as u64);
        let read = limited.read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += read as u64;
        let (bytes, ended) = match self.line.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (&*self.line, false),
        };
        Ok(Some(RawLine { bytes, offset, ended }))
    }
}
