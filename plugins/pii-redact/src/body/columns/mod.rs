//! Values that the name of a column announces, in markup and in statements: all bytes go on to the reader below as they are, which
//! is told where a value of which column starts and ends.

mod html;
mod sql;

use serde::{Deserialize, Serialize};

use super::Refused;
use super::declared::Layout;
use super::node::Run;
use crate::content::Format;
use crate::detect::announce;
use crate::replace::Pseudonyms;
use crate::scanner::Outcome;
use crate::texts::Texts;
use html::Html;
use sql::Sql;

/// Columns that have names here; the others are announced by the text before them.
const MOST_COLUMNS: usize = 64;
/// Bytes of a name that are looked at.
const LONGEST_NAME: usize = 48;

/// What the names of columns say, see [`announce::Said::bits`]; `None` where a column has no name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Names(Vec<Option<u8>>);

impl Names {
    fn set(&mut self, column: usize, name: &[u8]) {
        let name = name.trim_ascii();
        if column < MOST_COLUMNS {
            self.0.resize(self.0.len().max(column + 1), None);
            self.0[column] = (!name.is_empty()).then(|| announce::by_key(name).bits());
        }
    }

    fn get(&self, column: usize) -> Option<u8> {
        self.0.get(column).copied().flatten()
    }
}

/// Adds a byte to a name that isn't too long.
fn gather(name: &mut Vec<u8>, byte: u8) {
    if name.len() < LONGEST_NAME {
        name.push(byte);
    }
}

/// What finds the columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Finder {
    Html(Html),
    Sql(Sql),
}

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    finder: Finder,
    texts: Texts,
}

impl Columns {
    pub(super) fn new(layout: Layout, restores: bool, name: &[u8]) -> Self {
        let finder = match layout {
            Layout::Html => Finder::Html(Html::default()),
            Layout::Sql => Finder::Sql(Sql::default()),
        };
        let mut texts = Texts::new(Format::Text, restores);
        texts.set_name(name);
        Self { finder, texts }
    }

    pub(super) fn held(&self) -> usize {
        self.texts.held()
    }

    pub(super) fn push<P: Pseudonyms>(
        &mut self,
        run: &mut Run<'_, P>,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refused> {
        let Self { finder, texts } = self;
        let mut mark = |at: usize, said: Option<u8>| texts.announce_from(at, said);
        match finder {
            Finder::Html(html) => html.read(chunk, &mut mark),
            Finder::Sql(sql) => sql.read(chunk, &mut mark),
        }
        let outcome = texts.push(run.rules, run.pseudonyms, chunk, last, out);
        run.count(&texts.take_counts());
        Ok(outcome?)
    }
}

/// What finders mark in a text that comes whole, and byte by byte: the text from each mark on, and what is said of it.
#[cfg(test)]
fn marks(new: &dyn Fn() -> Finder, text: &str) -> Vec<(usize, Option<u8>)> {
    let read = |size: usize| {
        let (mut finder, mut found, mut passed) = (new(), Vec::new(), 0);
        for piece in text.as_bytes().chunks(size) {
            let mut mark = |at: usize, said: Option<u8>| found.push((passed + at, said));
            match &mut finder {
                Finder::Html(html) => html.read(piece, &mut mark),
                Finder::Sql(sql) => sql.read(piece, &mut mark),
            }
            passed += piece.len();
        }
        found
    };
    let whole = read(text.len());
    (1..9).for_each(|size| assert_eq!(read(size), whole, "{text}"));
    whole
}

/// The values of a column: the first bytes behind each mark that says what this name does.
#[cfg(test)]
fn values<'t>(new: &dyn Fn() -> Finder, text: &'t str, name: &str, length: usize) -> Vec<&'t str> {
    let said = Some(announce::by_key(name.as_bytes()).bits());
    let found = marks(new, text).into_iter().filter(|(_, found)| *found == said);
    found.map(|(at, _)| text.get(at..at + length).unwrap_or(&text[at..])).collect()
}
