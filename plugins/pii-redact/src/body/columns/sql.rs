//! Statements of SQL that name the columns of the values in them: `INSERT` and `REPLACE`, and PostgreSQL's `COPY … FROM stdin`.
//!
//! Nothing is checked: what isn't understood is passed by until the next statement.

use serde::{Deserialize, Serialize};

use super::{Names, gather};

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Token {
    #[default]
    None,
    Word,
    /// What this byte ends, and whether a backslash comes before the next one.
    Quoted(u8, bool),
    /// Behind `-` or `/`, which may start a comment.
    Sign(u8),
    LineComment,
    /// `true`: behind an asterisk.
    Comment(bool),
}

/// What part of a statement that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    #[default]
    Other,
    /// Before the names of columns; `true`: of `COPY`.
    Table(bool),
    Names(bool),
    Named(bool),
    /// In so many parentheses.
    Values(u32),
    /// Behind `COPY … FROM`, before the end of the line: `true`: behind the semicolon.
    Source(bool),
    /// In the lines of `COPY`; at the start of one, and behind a backslash there.
    Lines(bool, bool),
}

/// The state of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sql {
    token: Token,
    part: Part,
    /// The word or the name that is being read.
    word: Vec<u8>,
    names: Names,
    column: usize,
    /// Something is announced.
    announced: bool,
}

impl Sql {
    /// Reads on, and marks from where on what is said.
    pub(super) fn read(&mut self, chunk: &[u8], mark: &mut impl FnMut(usize, Option<u8>)) {
        for (at, &byte) in chunk.iter().enumerate() {
            let moved = if let Part::Lines(..) = self.part { self.line(byte) } else { self.token(byte) };
            if moved {
                let said = match self.part {
                    Part::Values(1..) | Part::Lines(..) => self.names.get(self.column),
                    _ => None,
                };
                if said.is_some() || self.announced {
                    mark(at + 1, said);
                    self.announced = said.is_some();
                }
            }
        }
    }

    /// Reads a byte of the lines that `COPY` is given; `true`: another value comes behind it, or none.
    fn line(&mut self, byte: u8) -> bool {
        let Part::Lines(start, escaped) = self.part else { return false };
        self.part = match byte {
            b'.' if escaped => Part::Other,
            _ => Part::Lines(byte == b'\n', start && byte == b'\\'),
        };
        match byte {
            b'\n' => self.column = 0,
            b'\t' => self.column += 1,
            _ => return self.part == Part::Other,
        }
        true
    }

    /// Reads a byte of a statement; `true`: another value comes behind it, or none.
    fn token(&mut self, byte: u8) -> bool {
        match self.token {
            Token::Word if is_word(byte) => gather(&mut self.word, byte),
            Token::Word => {
                self.token = Token::None;
                let moved = self.word_ends();
                return self.starts(byte) || moved;
            }
            Token::Quoted(end, true) => self.token = Token::Quoted(end, false),
            Token::Quoted(end, false) => match byte {
                byte if byte == end => self.token = Token::None,
                b'\\' if end == b'\'' => self.token = Token::Quoted(end, true),
                byte => gather(&mut self.word, byte),
            },
            Token::Sign(b'-') if byte == b'-' => self.token = Token::LineComment,
            Token::Sign(b'/') if byte == b'*' => self.token = Token::Comment(false),
            Token::None | Token::Sign(_) => return self.starts(byte),
            Token::LineComment if byte == b'\n' => self.token = Token::None,
            Token::Comment(true) if byte == b'/' => self.token = Token::None,
            Token::Comment(_) => self.token = Token::Comment(byte == b'*'),
            Token::LineComment => {}
        }
        false
    }

    /// Reads a byte that is in no token.
    fn starts(&mut self, byte: u8) -> bool {
        self.token = match byte {
            b'\'' | b'"' | b'`' => Token::Quoted(byte, false),
            // In a list of values it is an array.
            b'[' if matches!(self.part, Part::Table(_) | Part::Names(_)) => Token::Quoted(b']', false),
            b'-' | b'/' => Token::Sign(byte),
            byte if is_word(byte) => Token::Word,
            _ => Token::None,
        };
        match self.token {
            Token::Word => self.word = vec![byte],
            Token::Quoted(..) => self.word.clear(),
            _ => return self.sign(byte),
        }
        false
    }

    fn sign(&mut self, byte: u8) -> bool {
        self.part = match (self.part, byte) {
            (Part::Source(_), b';') => Part::Source(true),
            (Part::Source(true), b'\n') => {
                self.column = 0;
                Part::Lines(true, false)
            }
            (Part::Values(1..) | Part::Other, b';') => return false,
            (_, b';') => Part::Other,
            (Part::Table(copies), b'(') => {
                (self.names, self.column) = (Names::default(), 0);
                self.word.clear();
                Part::Names(copies)
            }
            (Part::Names(copies), b',' | b')') => {
                self.names.set(self.column, &self.word);
                self.word.clear();
                self.column += 1;
                if byte == b',' { Part::Names(copies) } else { Part::Named(copies) }
            }
            (Part::Values(depth), b'(') => {
                self.column = if depth == 0 { 0 } else { self.column };
                self.part = Part::Values(depth.saturating_add(1));
                return depth == 0;
            }
            (Part::Values(depth), b')') => {
                self.part = Part::Values(depth.saturating_sub(1));
                return depth == 1;
            }
            (Part::Values(1), b',') => {
                self.column += 1;
                return true;
            }
            (part, _) => part,
        };
        matches!(self.part, Part::Lines(..))
    }

    fn word_ends(&mut self) -> bool {
        if matches!(self.part, Part::Names(_) | Part::Values(1..)) {
            return false;
        }
        let word = self.word.to_ascii_lowercase();
        self.part = match (self.part, &word[..]) {
            // Behind `OR` it says what to do with a row that is there (SQLite).
            (Part::Table(_), b"replace") => return false,
            (_, b"insert" | b"replace") => Part::Table(false),
            (Part::Other, b"copy") => Part::Table(true),
            (Part::Named(false), b"values" | b"value") => Part::Values(0),
            (Part::Named(true), b"from") => Part::Source(false),
            (Part::Table(_) | Part::Named(false), b"select" | b"set" | b"values") | (Part::Values(0), b"on") => {
                Part::Other
            }
            (part, _) => part,
        };
        false
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::super::{Finder, marks, values};
    use super::*;

    fn new() -> Finder {
        Finder::Sql(Sql::default())
    }

    #[test]
    fn values_by_the_names_of_columns() {
        for statement in [
            "INSERT INTO kunde (navn, telefon) VALUES ('Kari',98);",
            "insert or replace into `k` (`navn`, `telefon`) values ('It''s, (x\\'',98)",
            "REPLACE INTO a.\"b\"(\"navn\", [telefon] /* , x */) -- (kid)\n VALUES (lower('a, b'),98)",
            "INSERT IGNORE k (navn,telefon) VALUES (x(1,(2)),98)",
            "COPY public.k (navn, telefon) FROM stdin;\nKari\t98\n\\.\n",
        ] {
            assert_eq!(values(&new, statement, "telefon", 2), ["98"], "{statement}");
        }
        let rows =
            "INSERT INTO k (telefon, kid) VALUES (98, 1),\n(99, 2) ON CONFLICT (telefon) DO NOTHING; SELECT (1, 2)";
        assert_eq!(values(&new, rows, "telefon", 2), ["98", "99"]);
        assert_eq!(values(&new, rows, "kid", 2), [" 1", " 2"]);
        let lines = "COPY k (telefon, kid) FROM stdin;\n98\t1\n99\t2\n\\.\n97\t3\n";
        assert_eq!(values(&new, lines, "telefon", 2), ["98", "99", "\\."]);
    }

    #[test]
    fn what_names_no_columns_is_not_marked() {
        for text in [
            "INSERT INTO k VALUES (1, 2)",
            "INSERT INTO k (a) SELECT (1)",
            "-- INSERT INTO k (a) VALUES (1)\n",
            "'INSERT INTO k (a) VALUES (1)'",
            "copy (1, 2) and paste (3)",
        ] {
            assert!(marks(&new, text).is_empty(), "{text}");
        }
    }
}
