//! What is done with each cell of a table.

use super::{At, Column, LONGEST_CELL, LONGEST_NAME, MOST_COLUMNS, MOST_NAMES, Table, Value};
use crate::body::Refused;
use crate::body::node::Run;
use crate::content::Format;
use crate::detect::announce;
use crate::replace::Pseudonyms;
use crate::scanner::{Outcome, Scanner};

impl Table {
    /// The column of the cell, where it is known; none in the line that names them.
    fn known(&self) -> Option<&Column> {
        if self.header { None } else { self.columns.get(self.column) }
    }

    /// Whether the cell goes whatever it holds.
    fn is_listed(&self) -> bool {
        self.known().is_some_and(|column| column.listed)
    }

    /// What announces the cell.
    fn announced(&self) -> &[u8] {
        match self.known() {
            Some(column) if column.start < column.end => &self.names[column.start.into()..column.end.into()],
            // A label, and no value of its own.
            _ if !self.before.iter().any(u8::is_ascii_digit) => &self.before,
            _ => b"",
        }
    }

    /// Remembers the cell, for the column and for the next cell.
    fn note<P>(&mut self, run: &Run<'_, P>) {
        self.cell.truncate(LONGEST_NAME);
        if self.header && self.columns.len() == self.column && self.column < MOST_COLUMNS {
            let name = self.cell.trim_ascii();
            let start = self.names.len();
            if !announce::by_key(name).is_silent() && start + name.len() <= MOST_NAMES {
                self.names.extend_from_slice(name);
            }
            let (start, end) = (start as u16, self.names.len() as u16);
            self.columns.push(Column { start, end, listed: run.rules.fields().lists_form_name(name) });
        }
        self.before.clear();
        self.before.append(&mut self.cell);
    }

    /// What reads the cell from its start.
    fn value<P: Pseudonyms>(&self, run: &mut Run<'_, P>, quoted: bool, out: &mut Vec<u8>) -> Result<Value, Refused> {
        if !self.is_listed() {
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

    pub(super) fn begin_quoted<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        out.push(b'"');
        self.cell.clear();
        self.at = At::Quoted(self.value(run, true, out)?, false);
        Ok(())
    }

    pub(super) fn quoted<P: Pseudonyms>(
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
    pub(super) fn end_quoted<P: Pseudonyms>(&mut self, run: &mut Run<'_, P>, out: &mut Vec<u8>) -> Result<(), Refused> {
        if let At::Quoted(mut value, closed) = std::mem::replace(&mut self.at, At::Bare) {
            self.feed(run, &mut value, b"", true, true, out)?;
            if closed {
                out.push(b'"');
            }
        }
        self.note(run);
        self.behind = true;
        Ok(())
    }

    /// Some of a cell without quotes.
    pub(super) fn bare<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
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
    pub(super) fn end_cell<P: Pseudonyms>(
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
                self.note(run);
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
        let listed = self.is_listed();
        let changed = match (listed, self.behind) {
            (true, true) => Some(Vec::new()),
            (true, false) => Some(run.field()?.into_bytes()),
            (false, _) => match run.text(&cell, self.announced())? {
                None => run.lost_zero(&cell, self.announced())?,
                changed => changed,
            },
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
            self.note(run);
        }
        Ok(())
    }
}
