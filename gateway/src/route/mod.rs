//! Which route answers a request: pure, and generic over what a route leads to.
//!
//! # Precedence
//!
//! All conditions of a route must hold. Among the routes whose conditions hold, these decide, in this order:
//!
//! 1. *Scheme*: a route that names it. Clear text and https are apart as if on listeners of their own (so it is in the
//!    Gateway API and in NGINX, where the port decides first). So one redirect of all clear text is one route, and a
//!    path that is added later can't be served in clear text by being more specific than the redirect.
//! 2. *Hostname*: an exact name, then the wildcard with the longest suffix, then routes for every hostname.
//! 3. *Path*: exact, then regular expression, then the longest prefix. A regular expression is written where
//!    a prefix isn't precise enough, so it goes first, as in NGINX and Envoy Gateway.
//! 4. *Method*: a route that names methods before one for all.
//! 5. *Headers*: more conditions before fewer. 6. *Query*: likewise.
//! 7. The order of the file.
//!
//! Where the conditions on method, header or query of a candidate fail, the next candidate is tried, down to those of less
//! specific hostnames. So the order is total, and what decides between two routes is never where a third one stands.
//!
//! # Cost
//!
//! One hash look-up per label of the hostname and per segment of the path (as deep as the deepest configured prefix): the
//! number of routes does not count, and nothing is allocated. What does count is how many routes can be told apart by
//! nothing else:
//!
//! - regular expressions of one hostname that begin with the same literal segments (`/users` in `/users/[0-9]+`): one
//!   pass tells that none matches, and where one does they are tried one by one;
//! - routes of one hostname and path that differ by method, header or query: tried one by one. The query is decoded once.

mod condition;
mod examined;
mod hostname;
mod literal;
mod path;
mod query;

use crate::model::RouteMatch;
use condition::{Asked, Condition};
use hostname::HostTable;
use path::PathTable;
pub use path::rewrite;
pub use query::Query;

/// All routes of a configuration.
#[derive(Debug)]
pub struct Router<T> {
    routes: Vec<(Condition, T)>,
    hosts: HostTable<PathTable>,
    /// Whether any route names its scheme; without one, the look-up for those is spared.
    by_scheme: bool,
}

impl<T> Router<T> {
    /// Builds the tables. `routes` stand in the order of the file.
    pub fn build(routes: Vec<(RouteMatch, T)>) -> Self {
        let mut hosts: HostTable<Vec<(path::Rule, usize)>> = HostTable::default();
        let mut built = Vec::with_capacity(routes.len());
        for (index, (matches, target)) in routes.into_iter().enumerate() {
            let RouteMatch { scheme, hostnames, path, methods, headers, query } = matches;
            let rule = path::Rule::new(&path);
            if hostnames.is_empty() {
                hosts.entry(None).push((rule.clone(), index));
            }
            for hostname in &hostnames {
                hosts.entry(Some(hostname)).push((rule.clone(), index));
            }
            built.push((Condition { scheme, methods, headers, query }, target));
        }
        // Candidates that differ only in their conditions are tried the most demanding first.
        let rank = |index: &usize| {
            let (condition, _) = &built[*index];
            (condition.rank(), std::cmp::Reverse(*index))
        };
        let hosts = hosts.map(|mut rules| {
            rules.sort_by_key(|(_, index)| std::cmp::Reverse(rank(index)));
            rules.dedup_by_key(|(_, index)| *index);
            PathTable::build(rules)
        });
        let by_scheme = built.iter().any(|(condition, _)| condition.scheme.is_some());
        Self { routes: built, hosts, by_scheme }
    }

    /// What the route for a request leads to.
    pub fn find(&self, query: &Query<'_>) -> Option<&T> {
        let asked = Asked::new(query);
        let named = if self.by_scheme { self.find_among(query, &asked, Some(query.scheme)) } else { None };
        named.or_else(|| self.find_among(query, &asked, None))
    }

    /// The same among the routes that name this scheme, or none.
    fn find_among(&self, query: &Query<'_>, asked: &Asked<'_>, scheme: Option<&str>) -> Option<&T> {
        let accepts = |index: usize| {
            let condition = &self.routes[index].0;
            condition.scheme == scheme && condition.holds(asked)
        };
        let index = self.hosts.candidates(query.hostname).find_map(|paths| paths.find(query.path, accepts))?;
        Some(&self.routes[index].1)
    }
}

#[cfg(test)]
mod tests;
