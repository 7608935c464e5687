//! Path conditions: exact and prefix by hash, regular expressions in one pass.

use std::collections::HashMap;

use regex::{Regex, RegexSet};
use smallvec::SmallVec;

use crate::config::model::PathMatch;

/// A path condition in the form of the tables.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Exact(String),
    /// Without trailing slash: `/a/` and `/a` are the same prefix, and the empty one matches all.
    Prefix(String),
    Regex(Regex),
}

impl Rule {
    pub(super) fn new(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact(path) => Self::Exact(path.clone()),
            PathMatch::Prefix(prefix) => Self::Prefix(prefix.trim_end_matches('/').to_owned()),
            PathMatch::Regex(regex) => Self::Regex(regex.clone()),
        }
    }
}

/// Routes of one hostname condition by path; the lists keep the order in which candidates are to be tried.
#[derive(Debug)]
pub(super) struct PathTable {
    exact: HashMap<String, Vec<usize>>,
    regexes: Regexes,
    prefix: HashMap<String, Vec<usize>>,
    /// Slashes in the prefix with the most: deeper borders of a path need no lookup.
    depth: usize,
}

/// Regular expressions with their routes.
#[derive(Debug)]
struct Regexes {
    /// `None` where the combined automaton would be too large, or where there is nothing to combine.
    set: Option<RegexSet>,
    each: Vec<(Regex, usize)>,
}

impl PathTable {
    pub(super) fn build(rules: Vec<(Rule, usize)>) -> Self {
        let (mut exact, mut prefix): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        let mut each = Vec::new();
        let mut depth = 0;
        for (rule, index) in rules {
            match rule {
                Rule::Exact(path) => exact.entry(path).or_default().push(index),
                Rule::Prefix(path) => {
                    depth = depth.max(path.matches('/').count());
                    prefix.entry(path).or_default().push(index);
                }
                Rule::Regex(regex) => each.push((regex, index)),
            }
        }
        let set = match each.len() {
            0 | 1 => None,
            _ => RegexSet::new(each.iter().map(|(regex, _)| regex.as_str())).ok(),
        };
        Self { exact, regexes: Regexes { set, each }, prefix, depth }
    }

    /// The first candidate that `accepts` takes, and the length of what it matched.
    pub(super) fn find(&self, path: &str, accepts: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let first = |list: &Vec<usize>| list.iter().copied().find(|index| accepts(*index));
        if let Some(index) = self.exact.get(path).and_then(first) {
            return Some((index, path.len()));
        }
        if let Some(index) = self.regexes.find(path, &accepts) {
            return Some((index, path.len()));
        }
        if self.prefix.is_empty() {
            return None;
        }
        // A prefix with n slashes ends where the path's slash number n + 1 stands, or at the path's end.
        let mut borders: SmallVec<[usize; 16]> =
            path.match_indices('/').map(|(slash, _)| slash).take(self.depth + 1).collect();
        if borders.is_empty() {
            // The target `*`, which only a route for every path can serve.
            borders.push(0);
        } else if borders.len() <= self.depth {
            borders.push(path.len());
        }
        borders.iter().rev().find_map(|&border| {
            let index = self.prefix.get(&path[..border]).and_then(first)?;
            Some((index, border))
        })
    }
}

impl Regexes {
    fn find(&self, path: &str, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.set {
            Some(set) => {
                let found = set.matches(path);
                found.iter().map(|place| self.each[place].1).find(|index| accepts(*index))
            }
            None => self
                .each
                .iter()
                .filter(|(regex, _)| regex.is_match(path))
                .map(|(_, index)| *index)
                .find(|i| accepts(*i)),
        }
    }
}

/// Replaces the first `prefix_len` bytes of a path (with its query) by a route's `rewrite_prefix`, with exactly one
/// slash between the two.
pub fn rewrite(path_and_query: &str, prefix_len: usize, replacement: &str) -> String {
    let rest = path_and_query.get(prefix_len..).unwrap_or("");
    let mut out = String::with_capacity(replacement.len() + rest.len() + 1);
    if rest.starts_with('/') {
        out.push_str(replacement.trim_end_matches('/'));
    } else {
        out.push_str(if replacement.is_empty() { "/" } else { replacement });
    }
    out.push_str(rest);
    out
}
