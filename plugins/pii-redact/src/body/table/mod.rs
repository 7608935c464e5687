//! Tables as text: CSV (RFC 4180) and tab-separated values, with the names of their columns in the first line.
//!
//! Each cell is a value of its own, announced by the name of its column or, where that says nothing, by the cell before it.

mod cells;

use serde::{Deserialize, Serialize};

use super::Refused;
use super::node::Run;
use crate::replace::Pseudonyms;
use crate::scanner::Scanner;

/// Bytes of the first line that show what parts the cells.
const FIRST_LINE: usize = 1 << 10;
/// Bytes of names that are remembered, all columns together; one column's; and columns.
const MOST_NAMES: usize = 8 << 10;
const LONGEST_NAME: usize = 64;
const MOST_COLUMNS: usize = 1 << 10;
/// Bytes of a cell without quotes that wait for its end, because it may need quotes then.
const LONGEST_CELL: usize = 1 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where in the table the reader stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum At {
    /// Before the end of the first line.
    First,
    /// At the first byte of a cell.
    Cell,
    /// In one without quotes, which is held.
    Bare,
    /// In a longer one, as far as it isn't held.
    Long(Value),
    /// In one with quotes. `true`: behind a quote, which ends it unless another one follows.
    Quoted(Value, bool),
}

/// What reads a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Value {
    Scanned(Box<Scanner>),
    /// The cell of a listed column, whose replacement has been written.
    Swallowed,
}

/// What the name of a column says of its cells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Column {
    /// Where it is among the names; nowhere where it announces nothing.
    start: u16,
    end: u16,
    /// Its values always go.
    listed: bool,
}

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Table {
    delimiter: Option<u8>,
    at: At,
    columns: Vec<Column>,
    /// The names of those that announce something, one after the other.
    names: Vec<u8>,
    /// Still in the line that names them.
    header: bool,
    column: usize,
    /// The start of the cell before, or of this one.
    before: Vec<u8>,
    cell: Vec<u8>,
    /// What is read stands behind the quotes of its cell, where nothing should be.
    behind: bool,
    held: Vec<u8>,
}

impl Table {
    /// `delimiter`: what parts the cells, where the type says it.
    pub(super) fn new(delimiter: Option<u8>) -> Self {
        Self {
            delimiter,
            at: At::First,
            names: Vec::new(),
            columns: Vec::new(),
            header: true,
            column: 0,
            before: Vec::new(),
            cell: Vec::new(),
            behind: false,
            held: Vec::new(),
        }
    }

    pub(super) fn held(&self) -> usize {
        let value = match &self.at {
            At::Long(Value::Scanned(scanner)) | At::Quoted(Value::Scanned(scanner), _) => scanner.held(),
            At::Bare => self.cell.len(),
            _ => 0,
        };
        let quote = usize::from(matches!(self.at, At::Quoted(_, true)));
        self.held.len() + value + quote
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut raw = std::mem::take(&mut self.held);
        raw.extend_from_slice(chunk);
        let mut at = 0;
        if let At::First = self.at {
            let line = &raw[..raw.len().min(FIRST_LINE)];
            let Some(end) = line
                .iter()
                .position(|byte| *byte == b'\n')
                .or((last || line.len() == FIRST_LINE).then_some(line.len()))
            else {
                self.held = raw;
                return Ok(());
            };
            at = self.first_line(&raw[..end]);
            out.extend_from_slice(&raw[..at]);
            self.at = At::Cell;
        }
        while at < raw.len() {
            at = self.step(run, &raw, at, out)?;
        }
        if last {
            self.end_cell(run, None, out)?;
        }
        Ok(())
    }

    /// Learns what parts the cells. Gives the length of what isn't a line of cells: a byte order mark, and Excel's `sep=;`.
    fn first_line(&mut self, line: &[u8]) -> usize {
        let mark = if line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let line = &line[mark..];
        if let [b's', b'e', b'p', b'=', delimiter, rest @ ..] = line
            && matches!(rest, b"" | b"\r")
        {
            self.delimiter = Some(*delimiter);
            return mark + line.len();
        }
        self.delimiter.get_or_insert_with(|| {
            let mut quoted = false;
            let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
            for &byte in line {
                quoted ^= byte == b'"';
                counts.iter_mut().filter(|(of, _)| *of == byte && !quoted).for_each(|(_, count)| *count += 1);
            }
            counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(byte, _)| *byte)
        });
        mark
    }

    /// Reads on from a position of `raw`, and gives the next one.
    fn step<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        raw: &[u8],
        at: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refused> {
        let byte = raw[at];
        match &mut self.at {
            At::First | At::Cell if byte == b'"' => {
                self.begin_quoted(run, out)?;
                Ok(at + 1)
            }
            At::First | At::Cell => {
                self.at = At::Bare;
                Ok(at)
            }
            At::Bare | At::Long(_) => {
                let delimiter = self.delimiter.unwrap_or(b',');
                let ends = |byte: &u8| *byte == delimiter || matches!(byte, b'\n' | b'\r');
                let rest = &raw[at..];
                let end = rest.iter().position(ends);
                let content = &rest[..end.unwrap_or(rest.len())];
                self.bare(run, content, out)?;
                let at = at + content.len();
                match end {
                    Some(_) => self.end_cell(run, Some(raw[at]), out).map(|()| at + 1),
                    None => Ok(at),
                }
            }
            At::Quoted(_, true) if byte != b'"' => {
                self.end_quoted(run, out)?;
                Ok(at)
            }
            At::Quoted(_, quote) => {
                let content = &raw[at..];
                let doubled = std::mem::take(quote);
                let end = if doubled { Some(1) } else { content.iter().position(|byte| *byte == b'"') };
                let content = &content[..end.unwrap_or(content.len())];
                let closes = end.is_some() && !doubled;
                self.quoted(run, content, closes, out)?;
                Ok(at + content.len() + usize::from(closes))
            }
        }
    }
}
