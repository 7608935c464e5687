//! The exchanges of a ledger one after the other, from its indexes, with what they have in common as numbers.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::Span;
use crate::index::{self, Interner, Kind, Seen, Segment, Tables};
use crate::record::{Pseudonym, RequestId, Route, Upstream};
use crate::time::Timestamp;
use crate::vocabulary::Outcome;

/// What exchanges name by number, over all segments.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) routes: Interner<Route>,
    pub(super) upstreams: Interner<Upstream>,
    pub(super) seen: Interner<Vec<Seen>>,
}

/// An exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) time: Timestamp,
    pub(super) caller: Option<Pseudonym>,
    pub(super) route: u32,
    pub(super) upstream: Option<u32>,
    /// None while it goes on.
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) seen: u32,
    pub(super) outcome: Outcome,
}

/// Hands over every exchange that began in a span, and says what their numbers stand for.
pub(super) fn each(directory: &Path, span: Span, mut visit: impl FnMut(&Exchange)) -> io::Result<Names> {
    let mut names = Names::default();
    let segments = index::segments(directory)?;
    for chain in segments.chunk_by(|one, other| one.chain == other.chain) {
        // What has not ended when the chain does is going on, or was broken off with the gateway.
        let open = of_chain(chain, span, &mut names, &mut visit)?;
        open.values().for_each(&mut visit);
    }
    Ok(names)
}

type Open = HashMap<RequestId, Exchange, rustc_hash::FxBuildHasher>;

fn of_chain(chain: &[Segment], span: Span, names: &mut Names, visit: &mut impl FnMut(&Exchange)) -> io::Result<Open> {
    let mut open = Open::default();
    for segment in chain {
        if open.is_empty() && segment.has_none_between(span.from, span.to)? {
            continue;
        }
        let index = segment.index()?;
        let numbers = Numbers::new(&index.tables, names);
        for row in &index.rows {
            match row.kind {
                Kind::Opening { route, upstream } => {
                    let inside =
                        span.from.is_none_or(|from| row.time >= from) && span.to.is_none_or(|to| row.time < to);
                    if inside {
                        let (route, upstream) = (numbers.routes[route as usize], numbers.upstream(upstream));
                        let exchange = Exchange { time: row.time, caller: row.caller, route, upstream, end: None };
                        open.insert(row.request, exchange);
                    }
                }
                Kind::Closing { seen, outcome, .. } => {
                    if let Some(exchange) = open.remove(&row.request) {
                        let end = End { seen: numbers.seen[seen as usize], outcome };
                        visit(&Exchange { end: Some(end), ..exchange });
                    }
                }
            }
        }
    }
    Ok(open)
}

/// The numbers of a segment's tables among those of all.
struct Numbers {
    routes: Vec<u32>,
    upstreams: Vec<u32>,
    seen: Vec<u32>,
}

impl Numbers {
    fn new(tables: &Tables, names: &mut Names) -> Self {
        Self {
            routes: tables.routes.iter().map(|route| names.routes.number(route)).collect(),
            upstreams: tables.upstreams.iter().map(|upstream| names.upstreams.number(upstream)).collect(),
            seen: tables.seen.iter().map(|seen| names.seen.number(seen)).collect(),
        }
    }

    fn upstream(&self, number: Option<u32>) -> Option<u32> {
        number.map(|number| self.upstreams[number as usize])
    }
}
