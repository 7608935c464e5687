//! The containers that a JSON value is in, the innermost last, and what is said of it by them: by their names, by a member
//! beside it, by the name of its column.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::names::{self, Name};
use crate::detect::announce::Said;

/// Containers that are remembered: the innermost ones.
const DEEPEST: usize = 64;
/// Columns whose names are remembered.
const MOST_COLUMNS: usize = 64;
/// Members that name a kind, before they are read.
const KINDS: usize = 3;

/// One open container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Level {
    /// An object, or else an array.
    pub(super) object: bool,
    /// An array whose elements name columns.
    header: bool,
    name: Cell<Label>,
    /// The texts of members that say what their siblings hold, the newest last, as far as they weren't read yet.
    #[serde(skip)]
    kinds: [Option<(usize, usize)>; KINDS],
    /// What those say that were read: the newest of them that says something.
    kind: u8,
    /// Elements or members before the present one.
    index: usize,
    /// What the names of columns say, in their order.
    columns: Vec<u8>,
    /// How far the paths of listed fields lead to it.
    pub(super) paths: u64,
}

/// The name of a container.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
enum Label {
    /// It is an element, or the whole text.
    #[default]
    None,
    /// What it says, and whether it leaves that to others.
    Read(u8, bool),
    /// Where it stands in the bytes at hand. The last, because a variant that is left out moves those behind it.
    #[serde(skip)]
    At(usize, usize),
}

impl Label {
    fn of(name: &[u8]) -> Self {
        Self::Read(names::said(name).bits(), names::is_generic(name))
    }

    fn read(self, raw: &[u8]) -> Self {
        match self {
            Self::At(from, to) => Self::of(end_of(raw, from, to)),
            other => other,
        }
    }
}

impl Level {
    fn kind(&self, raw: &[u8]) -> Said {
        let unread = self.kinds.iter().rev().flatten().map(|(from, to)| names::said(end_of(raw, *from, *to)));
        unread.into_iter().find(|said| !said.is_silent()).unwrap_or(Said::of_bits(self.kind))
    }

    fn read_kinds(&mut self, raw: &[u8]) {
        self.kind = self.kind(raw).bits();
        self.kinds = [None; KINDS];
    }
}

/// The open containers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Levels(Vec<Level>);

impl Levels {
    /// The innermost one.
    #[inline]
    pub(super) fn innermost(&self) -> Option<&Level> {
        self.0.last()
    }

    /// Whether the innermost is an object.
    #[inline]
    pub(super) fn in_object(&self) -> bool {
        self.0.last().is_some_and(|level| level.object)
    }

    /// Whether an object is open.
    pub(super) fn has_object(&self) -> bool {
        self.0.iter().any(|level| level.object)
    }

    /// One opens under the name `key`; an element has none. `paths`: see [`Level::paths`].
    pub(super) fn open(&mut self, object: bool, key: Option<&Name>, paths: u64, raw: &[u8]) {
        let outer = self.0.last();
        let header = !object
            && match key {
                Some(key) => names::is_header(key.bytes(raw)),
                None => outer.is_some_and(|outer| !outer.object && !outer.header && outer.index == 0),
            };
        let name = match key.map(|key| (key.span(), key)) {
            None => Label::None,
            Some((Some((from, to)), _)) => Label::At(from, to),
            Some((None, key)) => Label::of(key.bytes(raw)),
        };
        if self.0.len() == DEEPEST {
            self.0.remove(0);
        }
        self.0.push(Level { object, header, name: Cell::new(name), paths, ..Level::default() });
    }

    /// The innermost closes.
    pub(super) fn close(&mut self) {
        let Some(closed) = self.0.pop() else { return };
        if closed.header
            && let Some(outer) = self.0.last_mut()
        {
            outer.columns = closed.columns;
        }
    }

    /// A comma.
    #[inline]
    pub(super) fn next(&mut self) {
        if let Some(level) = self.0.last_mut() {
            level.index += 1;
        }
    }

    /// A text that is a value has ended: it may say what others are.
    #[inline]
    pub(super) fn text(&mut self, key: &[u8], from: usize, to: usize, raw: &[u8]) {
        let Some((level, outer)) = self.0.split_last_mut() else { return };
        if !level.object {
            if level.header {
                level.name_column(level.index, names::said(end_of(raw, from, to)));
            }
        } else if names::is_kind(key) {
            if let Some(outer) = outer.last_mut()
                && outer.header
            {
                outer.name_column(outer.index, names::said(end_of(raw, from, to)));
            }
            if level.kinds[0].is_some() {
                level.read_kinds(raw);
            }
            level.kinds.rotate_left(1);
            level.kinds[KINDS - 1] = Some((from, to));
        }
    }

    /// The same of a text of which only the end is known.
    pub(super) fn cut_text(&mut self, key: &[u8], text: &[u8], raw: &[u8]) {
        let Some((level, outer)) = self.0.split_last_mut() else { return };
        let said = names::said(text);
        if !level.object {
            if level.header {
                level.name_column(level.index, said);
            }
        } else if names::is_kind(key) {
            if let Some(outer) = outer.last_mut()
                && outer.header
            {
                outer.name_column(outer.index, said);
            }
            level.read_kinds(raw);
            if !said.is_silent() {
                level.kind = said.bits();
            }
        }
    }

    /// What is said of a value that says nothing itself: by its column, by a sibling, by the containers' names from the
    /// innermost on, as long as those leave it to others.
    pub(super) fn said(&self, raw: &[u8]) -> Said {
        let Some((level, outer)) = self.0.split_last() else { return Said::default() };
        let told = if level.object { level.kind(raw) } else { column(level.index, outer) };
        if !told.is_silent() {
            return told;
        }
        for (index, level) in self.0.iter().enumerate().rev() {
            level.name.set(level.name.get().read(raw));
            match level.name.get() {
                Label::Read(said, generic) if said != 0 || !generic => return Said::of_bits(said),
                // A member whose sibling says what it is: `{"key": "mobile", "value": {"text": …}}`.
                Label::Read(..) => {
                    let told = index.checked_sub(1).map_or(Said::default(), |outer| self.0[outer].kind(raw));
                    if !told.is_silent() {
                        return told;
                    }
                }
                _ => {}
            }
        }
        Said::default()
    }

    /// Reads what is still to be read of the bytes at hand: they go.
    pub(super) fn settle(&mut self, raw: &[u8]) {
        for level in &mut self.0 {
            level.name.set(level.name.get().read(raw));
            level.read_kinds(raw);
        }
    }
}

impl Level {
    fn name_column(&mut self, index: usize, said: Said) {
        if index < MOST_COLUMNS {
            self.columns.resize(index + 1, 0);
            self.columns[index] = said.bits();
        }
    }
}

/// What the name of a column says: the first row of an array of rows names them, or an array beside the rows.
fn column(index: usize, outer: &[Level]) -> Said {
    let named = outer.iter().rev().take(2).filter_map(|level| level.columns.get(index));
    Said::of_bits(named.copied().find(|bits| *bits != 0).unwrap_or(0))
}

/// The end of a text, as long as names may be.
fn end_of(raw: &[u8], from: usize, to: usize) -> &[u8] {
    &raw[from.max(to.saturating_sub(names::LONGEST))..to]
}
