//! Questions about exchanges: whose data of which category went where, and when.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;

use crate::head::ChainName;
use crate::index::{self, Kind, Row, Seen, Segment, Tables};
use crate::line::{Line, MAX_LENGTH};
use crate::record::{Body, Closing, Opening, Pseudonym, Record, RequestId};
use crate::time::Timestamp;
use crate::vocabulary::Category;
use crate::words::{Country, Name};

/// What is asked for. What is not said does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The caller is one of these: a subject has a pseudonym for each gateway.
    pub callers: Option<BTreeSet<Pseudonym>>,
    /// Personal data of this category was seen.
    pub category: Option<Category>,
    /// It went to this upstream.
    pub upstream: Option<Name>,
    /// It went to this country.
    pub country: Option<Country>,
    /// It came by this route.
    pub route: Option<Name>,
    /// It began then or later.
    pub from: Option<Timestamp>,
    /// It began before then.
    pub to: Option<Timestamp>,
}

/// An exchange as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// Whose it is; none where that is not known.
    pub caller: Option<Pseudonym>,
    /// In which chain.
    pub chain: ChainName,
    /// When it ended; none while it goes on, and where the gateway was killed.
    pub ended: Option<Timestamp>,
    /// How it began.
    pub opening: Opening,
    /// How it ended.
    pub closing: Option<Closing>,
    /// When it began.
    pub time: Timestamp,
}

/// Where a record lies: a segment, by its place in the list, and an offset.
type Spot = (u32, u64);

/// An exchange that matches, before it is read.
#[derive(Clone, Copy, Debug)]
struct Match {
    opening: Spot,
    closing: Option<Spot>,
    /// Whether everything that is asked for was found.
    whole: bool,
}

/// The exchanges that match, in the order in which they began in each chain.
///
/// # Errors
///
/// Where a segment can't be read, or has changed while it was.
pub fn query(directory: &Path, filter: &Filter) -> io::Result<Vec<Exchange>> {
    let segments = index::segments(directory)?;
    let mut found = Vec::new();
    for chain in segments.chunk_by(|one, other| one.chain == other.chain) {
        let matches = matches(chain, filter)?;
        read(chain, &matches, &mut found)?;
    }
    Ok(found)
}

/// The matches of one chain, from its indexes.
fn matches(chain: &[Segment], filter: &Filter) -> io::Result<Vec<Match>> {
    let mut matches: Vec<Match> = Vec::new();
    // Exchanges that have begun and not ended yet.
    let mut open: HashMap<RequestId, usize, rustc_hash::FxBuildHasher> = HashMap::default();
    for (place, segment) in (0..).zip(chain) {
        if open.is_empty() && segment.has_none_between(filter.from, filter.to)? {
            continue;
        }
        let index = segment.index()?;
        let selected = Selected::new(filter, &index.tables);
        for row in &index.rows {
            match row.kind {
                Kind::Opening { .. } if selected.opening(row) => {
                    open.insert(row.request, matches.len());
                    let whole = filter.category.is_none();
                    matches.push(Match { opening: (place, row.offset), closing: None, whole });
                }
                Kind::Closing { seen, .. } => {
                    if let Some(known) = open.remove(&row.request) {
                        matches[known].closing = Some((place, row.offset));
                        matches[known].whole |= selected.seen[seen as usize];
                    }
                }
                Kind::Opening { .. } => {}
            }
        }
    }
    matches.retain(|found| found.whole);
    Ok(matches)
}

/// Which numbers of a segment's tables match.
struct Selected<'a> {
    filter: &'a Filter,
    routes: Vec<bool>,
    upstreams: Vec<bool>,
    seen: Vec<bool>,
}

impl<'a> Selected<'a> {
    fn new(filter: &'a Filter, tables: &Tables) -> Self {
        let route = |route: &crate::record::Route| filter.route.as_ref().is_none_or(|name| *name == route.name);
        let upstream = |upstream: &crate::record::Upstream| {
            filter.upstream.as_ref().is_none_or(|name| *name == upstream.name)
                && filter.country.is_none_or(|country| upstream.country == Some(country))
        };
        let category = |seen: &Vec<Seen>| {
            let is = |category: &Category| seen.iter().any(|seen| seen.category == *category);
            filter.category.as_ref().is_none_or(is)
        };
        Self {
            filter,
            routes: tables.routes.iter().map(route).collect(),
            upstreams: tables.upstreams.iter().map(upstream).collect(),
            seen: tables.seen.iter().map(category).collect(),
        }
    }

    fn opening(&self, row: &Row) -> bool {
        let Kind::Opening { route, upstream } = row.kind else { return false };
        let filter = self.filter;
        let anywhere = filter.upstream.is_none() && filter.country.is_none();
        self.routes[route as usize]
            && upstream.map_or(anywhere, |upstream| self.upstreams[upstream as usize])
            && filter.from.is_none_or(|from| row.time >= from)
            && filter.to.is_none_or(|to| row.time < to)
            && filter.callers.as_ref().is_none_or(|callers| row.caller.is_some_and(|caller| callers.contains(&caller)))
    }
}

/// Reads the records of matches from the segments.
fn read(chain: &[Segment], matches: &[Match], into: &mut Vec<Exchange>) -> io::Result<()> {
    let mut files: HashMap<u32, File> = HashMap::new();
    let mut buffer = vec![0; 4096];
    let mut record = |(segment, offset): Spot| {
        let file = match files.entry(segment) {
            std::collections::hash_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(File::open(&chain[segment as usize].path)?)
            }
        };
        record_at(file, offset, &mut buffer)
    };
    for found in matches {
        let opened = record(found.opening)?;
        let closed = found.closing.map(&mut record).transpose()?;
        let Body::Opening(opening) = opened.body else { return Err(changed()) };
        let (ended, closing) = match closed {
            Some(Record { body: Body::Closing(closing), time, .. }) => (Some(time), Some(*closing)),
            Some(_) => return Err(changed()),
            None => (None, None),
        };
        into.push(Exchange {
            caller: opened.caller,
            chain: chain[0].chain.clone(),
            ended,
            opening: *opening,
            closing,
            time: opened.time,
        });
    }
    Ok(())
}

fn record_at(file: &File, offset: u64, buffer: &mut Vec<u8>) -> io::Result<Record> {
    loop {
        let read = file.read_at(buffer, offset)?;
        if let Some(end) = buffer[..read].iter().position(|byte| *byte == b'\n') {
            return Line::split(&buffer[..end]).and_then(|line| line.parse()).map_err(|_| changed());
        }
        if read < buffer.len() || buffer.len() >= MAX_LENGTH {
            return Err(changed());
        }
        buffer.resize(MAX_LENGTH, 0);
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a segment is not as its index says; verify the ledger")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::subjects::store;
    use crate::vocabulary::Action;

    /// Six exchanges: those of Kari to billing in NO, those of Ola to mail in DE, each with a card; then one of Kari to mail with an
    /// address, and one that has not ended.
    fn ledger() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = samples::settings(directory.path());
        // Exchanges begin in one segment and end in another.
        settings.segment_bytes = 1;
        let ledger = samples::open(settings);
        samples::write(&ledger, 4);
        let [opening, closing] = samples::exchange(4, "kari", "mail", "DE", &[samples::note("email", Action::Pass)]);
        let [unended, _] = samples::exchange(5, "kari", "billing", "NO", &[]);
        for entry in [opening, unended, closing] {
            samples::run(ledger.append(entry)).unwrap();
        }
        ledger.close();
        directory
    }

    /// The requests that are found, by their numbers in the samples.
    fn found(directory: &Path, change: impl FnOnce(&mut Filter)) -> Vec<u64> {
        let mut filter = Filter::default();
        change(&mut filter);
        let number = |exchange: &Exchange| u64::from_be_bytes(exchange.opening.request.0[..8].try_into().unwrap());
        query(directory, &filter).unwrap().iter().map(number).collect()
    }

    #[test]
    fn each_question_finds_what_it_asks_for() {
        let directory = ledger();
        let directory = directory.path();
        let keys = crate::layout::keys(directory, &"edge-1".parse().unwrap());
        let subject = |name: &str| store::find(&keys, &samples::caller(name)).unwrap().into_iter().collect();
        assert_eq!(found(directory, |_| {}), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found(directory, |filter| filter.callers = Some(subject("kari"))), [0, 2, 4, 5]);
        assert_eq!(found(directory, |filter| filter.callers = Some(BTreeSet::new())).len(), 0);
        assert_eq!(found(directory, |filter| filter.category = Some("card".parse().unwrap())), [0, 1, 2, 3]);
        assert_eq!(found(directory, |filter| filter.category = Some("email".parse().unwrap())), [4]);
        assert_eq!(found(directory, |filter| filter.upstream = Some("mail".parse().unwrap())), [1, 3, 4]);
        assert_eq!(found(directory, |filter| filter.country = Some("NO".parse().unwrap())), [0, 2, 5]);
        assert_eq!(found(directory, |filter| filter.route = Some("orders".parse().unwrap())).len(), 6);
        assert_eq!(found(directory, |filter| filter.route = Some("other".parse().unwrap())).len(), 0);
        let both = |filter: &mut Filter| {
            filter.callers = Some(subject("kari"));
            filter.country = Some("DE".parse().unwrap());
        };
        assert_eq!(found(directory, both), [4]);
        let span = |filter: &mut Filter| (filter.from, filter.to) = (Some(samples::time(2)), Some(samples::time(4)));
        // The second time by indexes that are there.
        assert_eq!([(); 2].map(|()| found(directory, span)), [[2, 3], [2, 3]]);
    }

    #[test]
    fn an_exchange_has_its_end_wherever_that_lies() {
        let directory = ledger();
        let exchanges = query(directory.path(), &Filter::default()).unwrap();
        let ended = exchanges.iter().filter(|exchange| exchange.closing.is_some()).count();
        assert_eq!((exchanges.len(), ended), (6, 5));
        assert_eq!(exchanges[4].closing.as_ref().unwrap().categories[0].category.as_str(), "email");
    }

    #[test]
    fn records_that_were_never_confirmed_are_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let disk = crate::faults::FaultyDisk::new();
        let settings = samples::settings(directory.path());
        let ledger = crate::ledger::Ledger::open(settings, std::sync::Arc::new(disk.clone())).unwrap().0;
        samples::write(&ledger, 1);
        disk.fail_syncs(1);
        let [opening, _] = samples::exchange(1, "ola", "mail", "DE", &[]);
        // Written to two segments, and confirmed in one.
        samples::run(ledger.append(opening)).unwrap();
        ledger.close();
        assert_eq!(found(directory.path(), |_| {}), [0, 1]);
    }

    #[test]
    fn a_segment_that_changed_behind_its_index_is_an_error() {
        let directory = ledger();
        assert_eq!(found(directory.path(), |_| {}).len(), 6);
        let segment = &index::segments(directory.path()).unwrap()[0];
        let before = std::fs::metadata(&segment.path).unwrap().modified().unwrap();
        let content = std::fs::read(&segment.path).unwrap();
        std::fs::write(&segment.path, vec![b'x'; content.len()]).unwrap();
        File::options().write(true).open(&segment.path).unwrap().set_modified(before).unwrap();
        assert_eq!(query(directory.path(), &Filter::default()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
