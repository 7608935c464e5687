//! Path conditions: exact paths and prefixes by hash, regular expressions by hash of the segments that they begin with.

use regex::{Regex, RegexSet};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::literal::literal_segments;
use crate::model::PathMatch;

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
    exact: FxHashMap<String, Vec<usize>>,
    /// By the literal segments that they begin with.
    regexes: FxHashMap<String, Regexes>,
    prefix: FxHashMap<String, Vec<usize>>,
    /// Slashes in the prefix with the most, or in the beginning of a regular expression: deeper borders of a path need
    /// no look-up.
    depth: usize,
}

/// The regular expressions that begin with the same literal segments.
#[derive(Debug, Default)]
struct Regexes {
    each: Vec<Candidate>,
    /// Tells in one pass that none of them matches, as is mostly so. `None` where there is nothing to combine, or
    /// where it would be too large. Which one matches is found one by one: the combined automaton would have to
    /// allocate for that, in every request, as much as there are expressions.
    any: Option<RegexSet>,
}

#[derive(Debug)]
struct Candidate {
    /// Its turn among all regular expressions of the hostname condition.
    turn: usize,
    regex: Regex,
    route: usize,
}

impl PathTable {
    pub(super) fn build(rules: Vec<(Rule, usize)>) -> Self {
        let (mut exact, mut prefix): (FxHashMap<_, Vec<_>>, FxHashMap<_, Vec<_>>) = Default::default();
        let mut regexes: FxHashMap<String, Regexes> = FxHashMap::default();
        let mut depth = 0;
        for (turn, (rule, route)) in rules.into_iter().enumerate() {
            match rule {
                Rule::Exact(path) => exact.entry(path).or_default().push(route),
                Rule::Prefix(path) => {
                    depth = depth.max(path.matches('/').count());
                    prefix.entry(path).or_default().push(route);
                }
                Rule::Regex(regex) => {
                    let segments = literal_segments(regex.as_str());
                    depth = depth.max(segments.matches('/').count());
                    regexes.entry(segments).or_default().each.push(Candidate { turn, regex, route });
                }
            }
        }
        for group in regexes.values_mut().filter(|group| group.each.len() > 1) {
            group.any = RegexSet::new(group.each.iter().map(|candidate| candidate.regex.as_str())).ok();
        }
        Self { exact, regexes, prefix, depth }
    }

    /// The first candidate that `accepts` takes.
    pub(super) fn find(&self, path: &str, accepts: impl Fn(usize) -> bool) -> Option<usize> {
        let first = |list: &Vec<usize>| list.iter().copied().find(|route| accepts(*route));
        if let Some(route) = self.exact.get(path).and_then(first) {
            return Some(route);
        }
        if self.regexes.is_empty() && self.prefix.is_empty() {
            return None;
        }
        let borders = self.borders(path);
        if let Some(route) = self.find_regex(path, &borders, &accepts) {
            return Some(route);
        }
        borders.iter().rev().find_map(|&border| self.prefix.get(&path[..border]).and_then(first))
    }

    /// Where a prefix of the path may end: one with n slashes ends where the path's slash number n + 1 stands, or at
    /// the path's end.
    fn borders(&self, path: &str) -> SmallVec<[usize; 16]> {
        let mut borders: SmallVec<[usize; 16]> = path
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'/')
            .map(|(slash, _)| slash)
            .take(self.depth + 1)
            .collect();
        if borders.is_empty() {
            // The target `*`, which only a route for every path can serve.
            borders.push(0);
        } else if borders.len() <= self.depth {
            borders.push(path.len());
        }
        borders
    }

    /// Among the groups whose segments the path begins with, the first in the order of all.
    fn find_regex(&self, path: &str, borders: &[usize], accepts: impl Fn(usize) -> bool) -> Option<usize> {
        if self.regexes.is_empty() {
            return None;
        }
        let groups = borders.iter().filter_map(|&border| self.regexes.get(&path[..border]));
        let mut groups: SmallVec<[&[Candidate]; 16]> =
            groups.filter(|group| group.may_match(path)).map(|group| group.each.as_slice()).collect();
        loop {
            let next = groups.iter_mut().filter(|group| !group.is_empty()).min_by_key(|group| group[0].turn)?;
            let (candidate, rest) = next.split_first()?;
            *next = rest;
            super::examined::count();
            if candidate.regex.is_match(path) && accepts(candidate.route) {
                return Some(candidate.route);
            }
        }
    }
}

impl Regexes {
    fn may_match(&self, path: &str) -> bool {
        super::examined::count();
        self.any.as_ref().is_none_or(|any| any.is_match(path))
    }
}

/// Replaces a route's prefix at the beginning of a path (with its query) by its `rewrite.prefix`, with exactly one slash
/// between the two. A target that isn't below the prefix stays as it is: `*`, or one that a plugin has set.
pub fn rewrite(path_and_query: &str, prefix: &str, replacement: &str) -> String {
    let rest = path_and_query
        .strip_prefix(prefix.trim_end_matches('/'))
        .filter(|rest| matches!(rest.as_bytes().first(), None | Some(b'/' | b'?')));
    let Some(rest) = rest else { return path_and_query.to_owned() };
    let mut out = String::with_capacity(replacement.len() + rest.len() + 1);
    if rest.starts_with('/') {
        out.push_str(replacement.trim_end_matches('/'));
    } else {
        out.push_str(if replacement.is_empty() { "/" } else { replacement });
    }
    out.push_str(rest);
    out
}
