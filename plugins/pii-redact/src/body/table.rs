//! Tables as text: CSV (RFC 4180) and tab-separated values, with the names of their columns in the first line.
//!
//! Each cell is a value of its own, announced by the name of its column or, where that says nothing, by the cell before it.

use serde::{Deserialize, Serialize};

use super::Refused;
use super::node::{Place, Run};
use crate::content::Format;
use crate::detect::announce;
use crate::replace::Pseudonyms;
use crate::scanner::{Outcome, Scanner};

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

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Table {
    place: Place,
    delimiter: Option<u8>,
    at: At,
    /// The names of the columns, one after the other, and where each ends.
    names: Vec<u8>,
    ends: Vec<u16>,
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
    pub(super) fn new(delimiter: Option<u8>, place: &Place) -> Self {
        Self {
            place: place.clone(),
            delimiter,
            at: At::First,
            names: Vec::new(),
            ends: Vec::new(),
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

/// Cells.
impl Table {
    /// The name of the column, where it is known.
    fn name(&self) -> &[u8] {
        let end = |column: usize| self.ends.get(column).map(|end| usize::from(*end));
        let start = if self.column == 0 { Some(0) } else { end(self.column - 1) };
        match (start, end(self.column)) {
            (Some(start), Some(end)) if !self.header => &self.names[start..end],
            _ => b"",
        }
    }

    /// Whether the cell goes whatever it holds.
    fn is_listed<P>(&self, run: &Run<'_, P>) -> bool {
        run.rules.is_field(self.name())
    }

    /// What announces the cell.
    fn announced(&self) -> &[u8] {
        let name = self.name();
        if announce::by_key(name).is_silent() { &self.before } else { name }
    }

    /// Remembers the cell, for the column and for the next cell.
    fn note(&mut self) {
        self.cell.truncate(LONGEST_NAME);
        let name = self.cell.trim_ascii();
        let fits = self.names.len() + name.len() <= MOST_NAMES && self.ends.len() < MOST_COLUMNS;
        if self.header && fits && self.ends.len() == self.column {
            self.names.extend_from_slice(name);
            self.ends.push(self.names.len() as u16);
        }
        self.before.clear();
        self.before.append(&mut self.cell);
    }

    /// What reads the cell from its start.
    fn value<P: Pseudonyms>(&self, run: &mut Run<'_, P>, quoted: bool, out: &mut Vec<u8>) -> Result<Value, Refused> {
        if !self.is_listed(run) {
            let mut scanner = Scanner::new(Format::Text);
            scanner.set_name(self.announced());
            return Ok(Value::Scanned(Box::new(scanner)));
        }
        if !self.behind {
            let text = run.field()?;
            self.write(text.as_bytes(), quoted, out);
        }
        Ok(Value::Swallowed)
    }

    /// Writes a part of a cell that can't be given quotes any more: what would end it becomes a space.
    fn write(&self, text: &[u8], quoted: bool, out: &mut Vec<u8>) {
        let delimiter = self.delimiter.unwrap_or(b',');
        for &byte in text {
            match byte {
                b'"' if quoted => out.extend_from_slice(b"\"\""),
                b'\r' | b'\n' if !quoted => out.push(b' '),
                byte if byte == delimiter && !quoted => out.push(b' '),
                byte => out.push(byte),
            }
        }
    }

    fn feed<P: Pseudonyms>(
        &self,
        run: &mut Run<'_, P>,
        value: &mut Value,
        content: &[u8],
        last: bool,
        quoted: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let Value::Scanned(scanner) = value else { return Ok(()) };
        let mut written = Vec::new();
        let outcome = scanner.push(run.rules, run.pseudonyms, content, last, &mut written);
        run.count(&scanner.take_counts());
        let unchanged = outcome? == Outcome::Unchanged;
        self.write(if unchanged { content } else { &written }, quoted, out);
        Ok(())
    }

    fn begin_quoted<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        out.push(b'"');
        self.cell.clear();
        self.at = At::Quoted(self.value(run, true, out)?, false);
        Ok(())
    }

    fn quoted<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        content: &[u8],
        closes: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let wanted = LONGEST_NAME.saturating_sub(self.cell.len());
        self.cell.extend_from_slice(&content[..content.len().min(wanted)]);
        if let At::Quoted(mut value, _) = std::mem::replace(&mut self.at, At::Cell) {
            self.feed(run, &mut value, content, false, true, out)?;
            self.at = At::Quoted(value, closes);
        }
        Ok(())
    }

    /// The quotes are closed. Nothing but the end of the cell should follow.
    fn end_quoted<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        if let At::Quoted(mut value, closed) = std::mem::replace(&mut self.at, At::Bare) {
            self.feed(run, &mut value, b"", true, true, out)?;
            if closed {
                out.push(b'"');
            }
        }
        self.note();
        self.behind = true;
        Ok(())
    }

    /// Some of a cell without quotes.
    fn bare<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, content: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match std::mem::replace(&mut self.at, At::Bare) {
            At::Long(mut value) => {
                self.feed(run, &mut value, content, false, false, out)?;
                self.at = At::Long(value);
            }
            _ if self.cell.len() + content.len() <= LONGEST_CELL => self.cell.extend_from_slice(content),
            _ => {
                let mut value = self.value(run, false, out)?;
                let start = std::mem::take(&mut self.cell);
                self.feed(run, &mut value, &start, false, false, out)?;
                self.feed(run, &mut value, content, false, false, out)?;
                self.cell = start;
                let wanted = LONGEST_NAME.saturating_sub(self.cell.len());
                self.cell.extend_from_slice(&content[..content.len().min(wanted)]);
                self.at = At::Long(value);
            }
        }
        Ok(())
    }

    /// The end of a cell: what ends it, or the end of the table.
    fn end_cell<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        end: Option<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let ends_row = matches!(end, None | Some(b'\n' | b'\r'));
        let blank = ends_row && self.column == 0 && self.cell.is_empty() && !self.behind;
        match std::mem::replace(&mut self.at, At::Cell) {
            At::Quoted(value, closed) => {
                self.at = At::Quoted(value, closed);
                self.end_quoted(run, out)?;
            }
            At::Long(mut value) => {
                self.feed(run, &mut value, b"", true, false, out)?;
                self.note();
            }
            _ if blank => {}
            _ => self.end_bare(run, out)?,
        }
        self.behind = false;
        self.at = At::Cell;
        self.cell.clear();
        out.extend(end);
        if !ends_row {
            self.column += 1;
        } else if !blank {
            self.header = false;
            self.column = 0;
            self.before.clear();
        }
        Ok(())
    }

    /// A cell without quotes that is there as a whole, or what stands behind quotes.
    fn end_bare<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        let cell = std::mem::take(&mut self.cell);
        let listed = self.is_listed(run);
        let changed = match (listed, self.behind) {
            (true, true) => Some(Vec::new()),
            (true, false) => Some(run.field()?.into_bytes()),
            (false, _) => run.text(&cell, self.announced())?,
        };
        let delimiter = self.delimiter.unwrap_or(b',');
        match changed {
            None => out.extend_from_slice(&cell),
            Some(text) => {
                let parts = |byte: &u8| *byte == delimiter || matches!(byte, b'\n' | b'\r');
                let quote = text.contains(&b'"') && !cell.contains(&b'"');
                if !self.behind && (quote || text.iter().any(parts)) {
                    out.push(b'"');
                    self.write(&text, true, out);
                    out.push(b'"');
                } else {
                    self.write(&text, false, out);
                }
            }
        }
        if !self.behind {
            self.cell = cell;
            self.note();
        }
        Ok(())
    }
}
