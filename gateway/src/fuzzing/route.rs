//! Any routes and any request: the router's tables find what trying one route after the other finds.

use std::cmp::Reverse;

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;

use crate::message::{FieldMap, normalize};
use crate::model::{HostnameMatch, PathMatch, RouteMatch, ValueMatch};
use crate::route::{Query, Router};

/// The most routes of one input: the naive way takes its time.
const MAX_ROUTES: usize = 32;

/// Input: a route or a request per line, in words. Of a route: `h=HOSTNAME`, `e=EXACT`, `p=PREFIX`, `r=REGEX`,
/// `m=METHOD`, `s=SCHEME`, `f=FIELD:VALUE`, `q=PARAMETER:VALUE`, where no value means that any will do. Of a request,
/// which begins with `?`: `h=`, `p=TARGET`, `m=`, `s=`, `f=`.
///
/// # Panics
/// Where the two differ.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let requests = text.lines().filter_map(|line| line.strip_prefix('?'));
    let routes: Vec<RouteMatch> =
        text.lines().filter(|line| !line.starts_with('?')).filter_map(route).take(MAX_ROUTES).collect();
    let router = Router::build(routes.iter().cloned().zip(0..).collect());
    for words in requests.take(MAX_ROUTES) {
        with_request(words, |request| {
            assert_eq!(router.find(request).copied(), naive(&routes, request), "{request:?} among {routes:#?}");
        });
    }
}

/// The words of a line by their letter.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split(' ').filter_map(|word| word.split_once('=')).take(16)
}

/// A route as the config may hold it; `None` where it would be refused.
fn route(line: &str) -> Option<RouteMatch> {
    let mut route = RouteMatch::default();
    for (key, value) in words(line) {
        match key {
            "h" => {
                let (wildcard, name) = value.strip_prefix("*.").map_or((false, value), |name| (true, name));
                let canonical = normalize::authority(name).is_ok_and(|canonical| canonical == name);
                if !canonical || normalize::hostname(name) != name {
                    return None;
                }
                let name = name.to_owned();
                route.hostnames.push(if wildcard { HostnameMatch::Wildcard(name) } else { HostnameMatch::Exact(name) });
            }
            "e" if canonical(value) => route.path = PathMatch::Exact(value.to_owned()),
            "p" if canonical(value) => route.path = PathMatch::Prefix(value.to_owned()),
            "r" => route.path = PathMatch::Regex(regex(value)?),
            "m" => route.methods.push(value.parse().ok()?),
            "s" => route.scheme = Some(scheme(value)),
            "f" => {
                let (name, expected) = value.split_once(':').unwrap_or((value, ""));
                route.headers.push((HeaderName::from_bytes(name.as_bytes()).ok()?, value_match(expected)));
            }
            "q" => {
                let (name, expected) = value.split_once(':').unwrap_or((value, ""));
                route.query.push((name.to_owned(), value_match(expected)));
            }
            _ => return None,
        }
    }
    Some(route)
}

fn canonical(path: &str) -> bool {
    normalize::path(path).is_ok_and(|canonical| canonical == path)
}

/// As the config builds it: the whole path has to match.
fn regex(text: &str) -> Option<regex::Regex> {
    let build = |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(1 << 18).build().ok();
    build(text)?;
    build(&format!(r"\A(?:{text})\z"))
}

fn scheme(text: &str) -> &'static str {
    if text == "http" { "http" } else { "https" }
}

fn value_match(text: &str) -> ValueMatch {
    if text.is_empty() { ValueMatch::Present } else { ValueMatch::Exact(text.to_owned()) }
}

/// A request as the pipeline hands it over, where the words make one.
fn with_request(line: &str, look_up: impl FnOnce(&Query<'_>)) {
    let (mut hostname, mut target, mut method, mut by_scheme) = (String::new(), "/".to_owned(), Method::GET, "https");
    let mut headers = FieldMap::new();
    for (key, value) in words(line) {
        match key {
            "h" => match normalize::authority(value) {
                Ok(authority) => hostname = normalize::hostname(&authority).to_owned(),
                Err(_) => return,
            },
            "p" if value == "*" => target = "*".to_owned(),
            "p" => {
                let (path, query) = value.split_once('?').map_or((value, None), |(path, query)| (path, Some(query)));
                match (normalize::path(path), query.map(normalize::query).transpose()) {
                    (Ok(path), Ok(None)) => target = path.into_owned(),
                    (Ok(path), Ok(Some(query))) => target = format!("{path}?{query}"),
                    _ => return,
                }
            }
            "m" => method = value.parse().unwrap_or(Method::GET),
            "s" => by_scheme = scheme(value),
            "f" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                let field = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
                if let (Ok(name), Ok(value)) = field {
                    headers.append(name, value);
                }
            }
            _ => {}
        }
    }
    let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    look_up(&Query { scheme: by_scheme, hostname: &hostname, path, query, method: &method, headers: &headers });
}

/// The rules of [`crate::route`], one route at a time.
pub(crate) fn naive(routes: &[RouteMatch], request: &Query<'_>) -> Option<usize> {
    let rank = |(index, route): (usize, &RouteMatch)| {
        let hostname = if route.hostnames.is_empty() {
            Some((0, 0))
        } else {
            let each = route.hostnames.iter().filter_map(|hostname| match hostname {
                HostnameMatch::Exact(name) => (name == request.hostname).then_some((2, 0)),
                HostnameMatch::Wildcard(suffix) => {
                    let labels = request.hostname.strip_suffix(suffix.as_str())?.strip_suffix('.')?;
                    (!labels.is_empty()).then_some((1, suffix.len()))
                }
            });
            each.max()
        }?;
        let path = match &route.path {
            PathMatch::Exact(path) => (path == request.path).then_some((2, 0)),
            PathMatch::Regex(regex) => regex.is_match(request.path).then_some((1, 0)),
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                let rest = request.path.strip_prefix(prefix)?;
                // The target `*` is below nothing but the prefix of everything.
                (rest.is_empty() || rest.starts_with('/') || prefix.is_empty()).then_some((0, prefix.len()))
            }
        }?;
        let scheme = route.scheme.is_none_or(|scheme| scheme == request.scheme);
        let get = request.method == Method::HEAD && route.methods.contains(&Method::GET);
        let method = route.methods.is_empty() || route.methods.contains(request.method) || get;
        let headers = route.headers.iter().all(|(name, expected)| {
            request.headers.get_all(name).any(|value| holds(expected, value.expose_str().ok()))
        });
        let query = route.query.iter().all(|(name, expected)| {
            let pairs = request.query.unwrap_or("").split('&').filter(|pair| !pair.is_empty());
            let mut decoded = pairs.map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key), decode(value))
            });
            decoded.any(|(key, value)| key == *name && holds(expected, Some(&value)))
        });
        let specific = (!route.methods.is_empty(), route.headers.len(), route.query.len());
        let rank = (route.scheme.is_some(), hostname, path, specific, Reverse(index));
        (scheme && method && headers && query).then_some(rank)
    };
    routes.iter().enumerate().filter_map(rank).max().map(|(.., Reverse(index))| index)
}

/// `None` stands for a value outside of ASCII.
fn holds(expected: &ValueMatch, value: Option<&str>) -> bool {
    match (expected, value) {
        (ValueMatch::Present, _) => true,
        (ValueMatch::Exact(exact), Some(value)) => exact == value,
        (ValueMatch::Regex(regex), Some(value)) => regex.is_match(value),
        (_, None) => false,
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
