//! Tables of HTML (HTML standard, section 4.9): header cells name the columns of the rows below them.

use serde::{Deserialize, Serialize};

use super::{Names, gather};

/// Tables within tables that are known; those deeper are passed by.
const MOST_TABLES: usize = 4;
/// The longest name of a tag that matters is `table`.
const LONGEST_TAG: usize = 6;
/// The attribute that makes a cell as wide as several columns (HTML standard, section 4.9.11).
const COLSPAN: &[u8] = b"colspan=";

/// Where in the markup the next byte stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
enum At {
    #[default]
    Text,
    /// Behind `<`.
    Open,
    /// In the name of a tag.
    Name,
    /// Behind it, in quotes of this kind unless it is 0.
    Attributes(u8),
    /// Behind so many bytes of `<!--`.
    Declaration(u8),
    /// In a comment, behind so many bytes of `-->`.
    Comment(u8),
}

/// Which cell is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Cell {
    #[default]
    None,
    Header,
    Data,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Table {
    names: Names,
    /// In `thead`.
    head: bool,
    column: usize,
    /// Columns that the open cell takes.
    span: usize,
    cell: Cell,
    /// The text of the open header cell.
    text: Vec<u8>,
}

impl Table {
    fn end_cell(&mut self) {
        if self.cell == Cell::Header {
            for column in self.column..self.column + self.span {
                self.names.set(column, &self.text);
            }
        }
        if self.cell != Cell::None {
            self.column += self.span;
        }
        self.cell = Cell::None;
    }

    /// What the column says of the open cell.
    fn said(&self) -> Option<u8> {
        if self.cell == Cell::Data { self.names.get(self.column) } else { None }
    }
}

/// The state of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Html {
    at: At,
    tables: Vec<Table>,
    /// Tables that are deeper than those known.
    deeper: u32,
    closes: bool,
    tag: Vec<u8>,
    /// Bytes of [`COLSPAN`] that have come, and the number behind it.
    matched: u8,
    span: u8,
    /// Something is announced.
    announced: bool,
}

impl Html {
    /// Reads on, and marks from where on what is said.
    pub(super) fn read(&mut self, chunk: &[u8], mark: &mut impl FnMut(usize, Option<u8>)) {
        let mut at = 0;
        while at < chunk.len() {
            if let At::Text = self.at {
                let rest = &chunk[at..];
                let text = &rest[..rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len())];
                self.text(text);
                at += text.len();
            }
            let Some(&byte) = chunk.get(at) else { return };
            at += 1;
            if self.step(byte) && self.tag_ends() {
                let known = if self.deeper > 0 { None } else { self.tables.last() };
                let said = known.and_then(Table::said);
                if said.is_some() || self.announced {
                    mark(at, said);
                    self.announced = said.is_some();
                }
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        if let Some(table) = self.tables.last_mut()
            && table.cell == Cell::Header
        {
            text.iter().take(super::LONGEST_NAME).for_each(|byte| gather(&mut table.text, *byte));
        }
    }

    /// Reads a byte of markup; `true`: it ends a tag.
    fn step(&mut self, byte: u8) -> bool {
        self.at = match self.at {
            At::Text => At::Open,
            At::Open => match byte {
                b'/' | b'a'..=b'z' | b'A'..=b'Z' => {
                    self.tag.clear();
                    self.closes = byte == b'/';
                    (self.matched, self.span) = (0, 0);
                    if !self.closes {
                        self.tag.push(byte.to_ascii_lowercase());
                    }
                    At::Name
                }
                b'!' => At::Declaration(2),
                b'<' => At::Open,
                _ => At::Text,
            },
            At::Name | At::Attributes(0) if byte == b'>' => {
                self.at = At::Text;
                return true;
            }
            At::Name if byte.is_ascii_alphanumeric() => {
                if self.tag.len() < LONGEST_TAG {
                    self.tag.push(byte.to_ascii_lowercase());
                }
                At::Name
            }
            At::Name => At::Attributes(0),
            At::Attributes(quote) => {
                self.attribute(byte);
                match byte {
                    b'"' | b'\'' if quote == 0 => At::Attributes(byte),
                    byte if byte == quote => At::Attributes(0),
                    _ => At::Attributes(quote),
                }
            }
            At::Declaration(matched) => match byte {
                b'>' => At::Text,
                b'-' if matched == 3 => At::Comment(0),
                b'-' if matched == 2 => At::Declaration(3),
                _ => At::Declaration(4),
            },
            At::Comment(matched) => match byte {
                b'-' => At::Comment(2.min(matched + 1)),
                b'>' if matched == 2 => At::Text,
                _ => At::Comment(0),
            },
        };
        false
    }

    /// Looks for the number of columns.
    fn attribute(&mut self, byte: u8) {
        let matched = usize::from(self.matched);
        match COLSPAN.get(matched) {
            Some(wanted) if byte.eq_ignore_ascii_case(wanted) => self.matched += 1,
            Some(b'=') if byte.is_ascii_whitespace() => {}
            Some(_) => self.matched = u8::from(byte.eq_ignore_ascii_case(&b'c')),
            None if byte.is_ascii_digit() && matched == COLSPAN.len() => {
                self.span = self.span.saturating_mul(10).saturating_add(byte - b'0');
            }
            None if self.span == 0 && (byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'')) => {}
            None => self.matched = u8::MAX,
        }
    }

    /// Does what a tag asks for. `true`: another cell is open behind it, or none.
    fn tag_ends(&mut self) -> bool {
        match (&self.tag[..], self.closes) {
            (b"table", false) if self.tables.len() == MOST_TABLES => self.deeper = self.deeper.saturating_add(1),
            (b"table", false) => self.tables.push(Table::default()),
            (b"table", true) if self.deeper > 0 => self.deeper -= 1,
            (b"table", true) => {
                self.tables.pop();
            }
            _ if self.deeper > 0 => return false,
            (tag, closes) => {
                let Some(table) = self.tables.last_mut() else { return false };
                match tag {
                    b"tr" | b"thead" | b"tbody" | b"tfoot" => {
                        table.end_cell();
                        table.column = 0;
                        if tag != b"tr" {
                            table.head = tag == b"thead" && !closes;
                        }
                    }
                    b"td" | b"th" => {
                        table.end_cell();
                        if !closes {
                            table.text.clear();
                            table.span = usize::from(self.span.max(1));
                            table.cell = if table.head || tag == b"th" { Cell::Header } else { Cell::Data };
                        }
                    }
                    _ => {
                        if table.cell == Cell::Header {
                            gather(&mut table.text, b' ');
                        }
                        return false;
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Finder, marks, values};
    use super::*;

    fn new() -> Finder {
        Finder::Html(Html::default())
    }

    #[test]
    fn header_cells_name_columns() {
        for table in [
            "<table><tr><th>navn</th><th>telefon</th></tr><tr><td>Kari</td><td>98</td></tr></table>",
            "<TABLE a='>'><tr><th>navn<th class=\"x\"><b>tele</b>fon: <br>telefon<tr><td>Kari<td>98",
            "<table><thead><tr><td>navn<td>telefon</thead><tbody><tr><td>Kari</td>\n<td title='<td>'>98</td>",
            "<table><!-- <th>x</th> --><tr><th colspan=\"2\">navn</th><th>telefon</th></tr><tr><td Colspan = 2>Kari</td><td>98",
            "<table><tr><th>navn<th>telefon<tr><td><table><tr><th>kid<tr><td>1</table></td><td>98",
        ] {
            assert_eq!(values(&new, table, "telefon", 2), ["98"], "{table}");
        }
    }

    #[test]
    fn what_has_no_header_is_not_marked() {
        for text in ["<td>1</td>", "<table><tr><td>Telefon</td><td>98</td></tr></table>", "a < b <th>x</th><td>"] {
            assert!(marks(&new, text).is_empty(), "{text}");
        }
        let deep = "<table><tr><th>tlf<tr><td>".repeat(9);
        assert_eq!(values(&new, &deep, "tlf", 1).len(), MOST_TABLES);
    }
}
