//! What the routes do to each other: redirects that lead back to themselves, and routes that nothing reaches. The
//! router itself is asked, so that this can't disagree with what happens to requests.

use http::{HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::context::{Context, Placed};
use crate::message::FieldMap;
use crate::model::{HostnameMatch, PathMatch, Redirect, Route, RouteAction, RouteMatch, ValueMatch};
use crate::route::{Query, Router};

/// Checks the routes; `names` are theirs, with their places.
pub(super) fn check(routes: &[Route], names: &[Placed<String>], context: &mut Context<'_>) {
    let router = Router::build(routes.iter().map(|route| route.matches.clone()).zip(0..).collect());
    for (index, (route, name)) in routes.iter().zip(names).enumerate() {
        let conditions = &route.matches;
        match (&route.action, conditions.scheme) {
            (RouteAction::Redirect(redirect), scheme) if circles(&router, index, redirect, conditions) => {
                let hint = match (redirect.scheme.as_deref(), scheme) {
                    (Some("https"), None) => "; write match: {scheme: http}",
                    (Some(_), None) => "; write match: {scheme: https}",
                    _ => "",
                };
                context.error(name.position, format!("the redirect of {} leads back to itself{hint}", name.shown));
            }
            (RouteAction::Upstream(_) | RouteAction::Respond(_), Some(scheme))
                if takes_all(conditions) && routes.iter().any(|other| other.matches.scheme.is_none()) =>
            {
                let message = format!(
                    "{} takes every {scheme} request from the routes without match.scheme, whatever their paths",
                    name.shown
                );
                context.warn(name.position, message);
            }
            _ => {}
        }
    }
}

/// Whether nothing but the scheme is asked for.
fn takes_all(conditions: &RouteMatch) -> bool {
    let RouteMatch { scheme: _, hostnames, path, methods, headers, query } = conditions;
    let any_path = matches!(path, PathMatch::Prefix(prefix) if prefix == "/");
    hostnames.is_empty() && any_path && methods.is_empty() && headers.is_empty() && query.is_empty()
}

/// Whether a client that follows the redirect comes to the same route again. Where no request for the route can be made
/// up, because of a regular expression, nothing is claimed.
fn circles(router: &Router<usize>, index: usize, redirect: &Redirect, conditions: &RouteMatch) -> bool {
    // Another port is another server, unless the scheme changes with it: then it is the one of that scheme.
    if redirect.port.is_some() && redirect.scheme.is_none() {
        return false;
    }
    // Another name may be another server, unless the route says that it serves it.
    if redirect.hostname.is_some() && conditions.hostnames.is_empty() {
        return false;
    }
    let Some(sample) = Sample::of(conditions) else { return false };
    let hostname = redirect.hostname.as_deref().unwrap_or(&sample.hostname);
    let path = match (&redirect.path, &sample.path) {
        (Some(path), _) | (None, Some(path)) => path,
        (None, None) => return false,
    };
    let schemes = match redirect.scheme.as_deref().or(conditions.scheme) {
        Some(scheme) => vec![scheme],
        None => vec!["http", "https"],
    };
    schemes.into_iter().any(|scheme| {
        let query = Query {
            scheme,
            hostname,
            path,
            query: Some(&sample.query),
            method: &sample.method,
            headers: &sample.headers,
        };
        router.find(&query) == Some(&index)
    })
}

/// A request that fulfils a route's conditions, apart from its scheme.
struct Sample {
    hostname: String,
    path: Option<String>,
    method: Method,
    headers: FieldMap,
    query: String,
}

impl Sample {
    fn of(conditions: &RouteMatch) -> Option<Self> {
        let hostname = match conditions.hostnames.first() {
            Some(HostnameMatch::Exact(name)) => name.clone(),
            Some(HostnameMatch::Wildcard(parent)) => format!("any.{parent}"),
            // RFC 2606: nobody's name.
            None => "any.invalid".to_owned(),
        };
        let path = match &conditions.path {
            PathMatch::Exact(path) => Some(path.clone()),
            // Below the prefix, where other routes are less likely to be meant.
            PathMatch::Prefix(prefix) => Some(format!("{}/~", prefix.trim_end_matches('/'))),
            PathMatch::Regex(_) => None,
        };
        let value = |condition: &ValueMatch| match condition {
            ValueMatch::Present => Some("x".to_owned()),
            ValueMatch::Exact(value) => Some(value.clone()),
            ValueMatch::Regex(_) => None,
        };
        let mut headers = FieldMap::new();
        for (name, condition) in &conditions.headers {
            headers.insert(name.clone(), HeaderValue::from_str(&value(condition)?).ok()?);
        }
        let mut query = String::new();
        for (name, condition) in &conditions.query {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            query.push_str(&format!("{}={}&", encode(name), encode(&value(condition)?)));
        }
        let method = conditions.methods.first().cloned().unwrap_or(Method::GET);
        Some(Self { hostname, path, method, headers, query })
    }
}
