//! An index from its segment.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Index, Interner, Kind, Row, Seen, State, Tables};
use crate::layout::Lines;
use crate::line::Line;
use crate::record::{Body, Closing, Record, Route, Upstream};

#[derive(Default)]
struct Builder {
    routes: Interner<Route>,
    upstreams: Interner<Upstream>,
    seen: Interner<Vec<Seen>>,
    rows: Vec<Row>,
}

/// Reads a segment. Lines that are no records are left to verification.
pub(super) fn index(path: &Path, state: State) -> io::Result<Index> {
    let mut builder = Builder::default();
    let mut lines = Lines::new(File::open(path)?);
    while let Some(line) = lines.next()? {
        // What was written since the state was taken belongs to the next one.
        if line.offset >= state.length {
            break;
        }
        let record = Line::split(line.bytes).and_then(|line| line.parse());
        if let Ok(record) = record
            && line.ended
            && state.last_seq.is_none_or(|last| record.seq <= last)
        {
            builder.add(&record, line.offset);
        }
    }
    let Builder { routes, upstreams, seen, rows } = builder;
    let tables = Tables { routes: routes.into_values(), upstreams: upstreams.into_values(), seen: seen.into_values() };
    Ok(Index { state, tables, rows })
}

impl Builder {
    fn add(&mut self, record: &Record, offset: u64) {
        let (request, kind) = match &record.body {
            Body::Opening(opening) => {
                let upstream = opening.upstream.as_ref().map(|upstream| self.upstreams.number(upstream));
                (opening.request, Kind::Opening { route: self.routes.number(&opening.route), upstream })
            }
            Body::Closing(closing) => {
                let seen = self.seen.number(&seen(closing));
                (closing.request, Kind::Closing { seen, outcome: closing.outcome, status: closing.status })
            }
            _ => return,
        };
        self.rows.push(Row { time: record.time, offset, request, caller: record.caller, kind });
    }
}

fn seen(closing: &Closing) -> Vec<Seen> {
    let notes = closing.categories.iter();
    let mut seen: Vec<Seen> =
        notes.map(|note| Seen { category: note.category.clone(), action: note.action, place: note.place }).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}
