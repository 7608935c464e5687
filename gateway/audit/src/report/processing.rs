//! The record of processing activities (article 30(1) of the GDPR) as far as a gateway can know it: which purposes, on which
//! ground, which categories of data, to which recipients in which countries, how long the records are kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::{Span, tally};
use crate::record::{Pseudonym, Route, Upstream};
use crate::vocabulary::{Action, Category, Outcome};

/// The record of processing activities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Processing {
    /// Of which time.
    pub span: Span,
    /// What was done.
    pub activities: Vec<Activity>,
}

/// What a route did towards one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// The route, with purpose, legal basis and retention.
    pub route: Route,
    /// The recipient; none where nothing went anywhere.
    pub recipient: Option<Upstream>,
    /// How many exchanges began.
    pub exchanges: u64,
    /// How many callers there were, as far as they are known.
    pub subjects: u64,
    /// How many exchanges had personal data of a category, and what was done with it.
    pub categories: Vec<Counted>,
    /// How many exchanges ended in which way.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many have not ended.
    pub open: u64,
}

/// Exchanges with personal data of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The category.
    pub category: Category,
    /// What was done with it.
    pub action: Action,
    /// In how many exchanges.
    pub exchanges: u64,
}

#[derive(Default)]
struct Sums {
    exchanges: u64,
    open: u64,
    subjects: HashSet<Pseudonym, rustc_hash::FxBuildHasher>,
    outcomes: BTreeMap<Outcome, u64>,
    seen: HashMap<u32, u64, rustc_hash::FxBuildHasher>,
}

/// Reads a ledger's exchanges of a time.
pub fn processing(directory: &Path, span: Span) -> io::Result<Processing> {
    let mut sums: HashMap<(u32, Option<u32>), Sums, rustc_hash::FxBuildHasher> = HashMap::default();
    let names = tally::each(directory, span, |exchange| {
        let sum = sums.entry((exchange.route, exchange.upstream)).or_default();
        sum.exchanges += 1;
        sum.subjects.extend(exchange.caller);
        match exchange.end {
            Some(end) => {
                *sum.outcomes.entry(end.outcome).or_default() += 1;
                *sum.seen.entry(end.seen).or_default() += 1;
            }
            None => sum.open += 1,
        }
    })?;
    let activity = |((route, upstream), sum): ((u32, Option<u32>), Sums)| {
        let mut categories: BTreeMap<(Category, Action), u64> = BTreeMap::new();
        for (seen, count) in sum.seen {
            for pair in pairs(&names.seen.values()[seen as usize]) {
                *categories.entry(pair).or_default() += count;
            }
        }
        let counted = |((category, action), exchanges)| Counted { category, action, exchanges };
        Activity {
            route: names.routes.values()[route as usize].clone(),
            recipient: upstream.map(|upstream| names.upstreams.values()[upstream as usize].clone()),
            exchanges: sum.exchanges,
            subjects: sum.subjects.len() as u64,
            categories: categories.into_iter().map(counted).collect(),
            outcomes: sum.outcomes,
            open: sum.open,
        }
    };
    let mut activities: Vec<Activity> = sums.into_iter().map(activity).collect();
    activities.sort_by(|one, other| (&one.route, &one.recipient).cmp(&(&other.route, &other.recipient)));
    Ok(Processing { span, activities })
}

/// Each category and action once, wherever it was seen.
pub(super) fn pairs(seen: &[crate::index::Seen]) -> impl Iterator<Item = (Category, Action)> {
    let pairs: std::collections::BTreeSet<_> = seen.iter().map(|seen| (seen.category.clone(), seen.action)).collect();
    pairs.into_iter()
}
