//! What a notification of a personal data breach has to say (article 33(3)(a) of the GDPR): the categories and the number of
//! data subjects and of records concerned, for a span of time; and for each subject which data went where.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::{Span, processing::pairs, tally};
use crate::record::{Pseudonym, Upstream};
use crate::time::Timestamp;
use crate::vocabulary::{Action, Category};

/// The extract for a span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// Of which time.
    pub span: Span,
    /// How many exchanges began in it.
    pub exchanges: u64,
    /// How many of those have no known caller.
    pub unknown_callers: u64,
    /// In how many exchanges personal data of a category was seen, and what was done with it.
    pub categories: Vec<super::processing::Counted>,
    /// Whose data went where.
    pub subjects: Vec<Subject>,
}

/// A data subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// By pseudonym; none for all callers that are not known.
    pub caller: Option<Pseudonym>,
    /// Where their data went.
    pub flows: Vec<Flow>,
}

/// Exchanges of one subject towards one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The recipient; none where nothing went anywhere.
    pub recipient: Option<Upstream>,
    /// How many exchanges.
    pub exchanges: u64,
    /// When the first began.
    pub first: Timestamp,
    /// When the last began.
    pub last: Timestamp,
    /// What was seen of them, and what was done with it.
    pub data: Vec<Data>,
}

/// Personal data of a category.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Data {
    /// The category.
    pub category: Category,
    /// What was done with it.
    pub action: Action,
    /// Whether that tells its recipient of the person.
    pub disclosed: bool,
}

struct Sums {
    exchanges: u64,
    first: Timestamp,
    last: Timestamp,
    /// Numbers of what was seen. Few are different.
    seen: Vec<u32>,
}

/// Reads a ledger's exchanges of a time.
pub fn breach(directory: &Path, span: Span) -> io::Result<Breach> {
    let mut sums: HashMap<(Option<Pseudonym>, Option<u32>), Sums, rustc_hash::FxBuildHasher> = HashMap::default();
    let mut seen: HashMap<u32, u64> = HashMap::new();
    let (mut exchanges, mut unknown_callers) = (0, 0);
    let names = tally::each(directory, span, |exchange| {
        exchanges += 1;
        unknown_callers += u64::from(exchange.caller.is_none());
        let time = exchange.time;
        let sum = sums.entry((exchange.caller, exchange.upstream));
        let sum = sum.or_insert(Sums { exchanges: 0, first: time, last: time, seen: Vec::new() });
        sum.exchanges += 1;
        (sum.first, sum.last) = (sum.first.min(time), sum.last.max(time));
        if let Some(end) = exchange.end {
            *seen.entry(end.seen).or_default() += 1;
            if !sum.seen.contains(&end.seen) {
                sum.seen.push(end.seen);
            }
        }
    })?;
    let all = |numbers: &[u32]| {
        let pairs = numbers.iter().flat_map(|number| pairs(&names.seen.values()[*number as usize]));
        let mut data: Vec<Data> =
            pairs.map(|(category, action)| Data { category, action, disclosed: action.discloses() }).collect();
        data.sort_unstable();
        data.dedup();
        data
    };
    let mut subjects: BTreeMap<Option<Pseudonym>, Vec<Flow>> = BTreeMap::new();
    for ((caller, upstream), sum) in sums {
        let recipient = upstream.map(|upstream| names.upstreams.values()[upstream as usize].clone());
        let Sums { exchanges, first, last, seen } = sum;
        subjects.entry(caller).or_default().push(Flow { recipient, exchanges, first, last, data: all(&seen) });
    }
    let mut categories: BTreeMap<(Category, Action), u64> = BTreeMap::new();
    for (number, count) in seen {
        pairs(&names.seen.values()[number as usize]).for_each(|pair| *categories.entry(pair).or_default() += count);
    }
    let counted = |((category, action), exchanges)| super::processing::Counted { category, action, exchanges };
    let subject = |(caller, mut flows): (_, Vec<Flow>)| {
        flows.sort_by(|one, other| one.recipient.cmp(&other.recipient));
        Subject { caller, flows }
    };
    let categories = categories.into_iter().map(counted).collect();
    let subjects = subjects.into_iter().map(subject).collect();
    Ok(Breach { span, exchanges, unknown_callers, categories, subjects })
}
