//! The router against examples and against a naive matcher.

use std::cmp::Reverse;

use http::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::config::model::{HostnameMatch, PathMatch, ValueMatch};

fn regex(text: &str) -> regex::Regex {
    regex::Regex::new(&format!("^(?:{text})$")).unwrap()
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn on(path: PathMatch) -> RouteMatch {
    RouteMatch { path, ..RouteMatch::default() }
}

fn host(names: &[&str]) -> RouteMatch {
    let hostnames = names.iter().map(|name| match name.strip_prefix("*.") {
        Some(suffix) => HostnameMatch::Wildcard(suffix.to_owned()),
        None => HostnameMatch::Exact((*name).to_owned()),
    });
    RouteMatch { hostnames: hostnames.collect(), ..RouteMatch::default() }
}

fn find(routes: &[RouteMatch], hostname: &str, path: &str) -> Option<(usize, usize)> {
    let router = Router::build(routes.iter().cloned().enumerate().map(|(index, route)| (route, index)).collect());
    let query =
        Query { scheme: "https", hostname, path, query: None, method: &Method::GET, headers: &HeaderMap::new() };
    router.find(&query).map(|found| (*found.target, found.prefix_len))
}

#[test]
fn hostnames_by_specificity() {
    let routes = [host(&[]), host(&["*.no"]), host(&["*.a.no", "a.no"]), host(&["x.a.no"])];
    for (hostname, expected) in
        [("x.a.no", 3), ("y.a.no", 2), ("z.y.a.no", 2), ("a.no", 2), ("b.no", 1), ("no", 0), ("[::1]", 0), ("", 0)]
    {
        assert_eq!(find(&routes, hostname, "/"), Some((expected, 0)), "{hostname}");
    }
    assert_eq!(find(&[host(&["*.a.no"])], "a.no", "/"), None);
    assert_eq!(find(&[host(&["*.a.no"])], ".a.no", "/"), None);
}

#[test]
fn a_named_scheme_decides_before_all_else() {
    let routes = [on(exact("/a")), RouteMatch { scheme: Some("http"), ..on(prefix("/")) }];
    let router = Router::build(routes.into_iter().zip(0..).collect());
    let found = |scheme, path| {
        let query =
            Query { scheme, hostname: "a.no", path, query: None, method: &Method::GET, headers: &HeaderMap::new() };
        router.find(&query).map(|found| *found.target)
    };
    assert_eq!(found("http", "/a"), Some(1));
    assert_eq!(found("https", "/a"), Some(0));
    assert_eq!(found("https", "/b"), None);
}

#[test]
fn paths_by_specificity() {
    let routes = [
        on(prefix("/")),
        on(prefix("/a/")),
        on(prefix("/a/b")),
        on(PathMatch::Regex(regex("/a/[0-9]+"))),
        on(PathMatch::Regex(regex("/a/4.*"))),
        on(exact("/a/42")),
    ];
    for (path, expected) in [
        ("/", (0, 0)),
        ("/ab", (0, 0)),
        ("/a", (1, 2)),
        ("/a/", (1, 2)),
        ("/a/c/d/e", (1, 2)),
        ("/a/b", (2, 4)),
        ("/a/b/", (2, 4)),
        ("/a/bc", (1, 2)),
        ("/a/43", (3, 5)),
        ("/a/4x", (4, 5)),
        ("/a/42", (5, 5)),
        ("*", (0, 0)),
    ] {
        assert_eq!(find(&routes, "h", path), Some(expected), "{path}");
    }
    assert_eq!(find(&[on(prefix("/a"))], "h", "*"), None);
    assert_eq!(find(&[], "h", "/"), None);
}

#[test]
fn failed_conditions_try_the_next_candidate() {
    let mut post = host(&["a.no"]);
    post.methods = vec![Method::POST];
    let mut canary = host(&["a.no"]);
    canary.headers = vec![(HeaderName::from_static("x-canary"), ValueMatch::Exact("1".to_owned()))];
    let mut beta = host(&[]);
    beta.query = vec![("beta".to_owned(), ValueMatch::Regex(regex("y(es)?")))];
    let router = Router::build(vec![(host(&[]), "all"), (beta, "beta"), (canary, "canary"), (post, "post")]);
    let ask = |method: &Method, canary: Option<&'static str>, query| {
        let mut headers = HeaderMap::new();
        if let Some(value) = canary {
            headers.insert("x-canary", http::HeaderValue::from_static(value));
        }
        *router
            .find(&Query { scheme: "https", hostname: "a.no", path: "/x", query, method, headers: &headers })
            .unwrap()
            .target
    };
    assert_eq!(ask(&Method::POST, Some("1"), None), "post");
    assert_eq!(ask(&Method::GET, Some("1"), None), "canary");
    assert_eq!(ask(&Method::GET, Some("2"), Some("a=1&beta=yes")), "beta");
    assert_eq!(ask(&Method::GET, Some("2"), Some("beta=no")), "all");
}

#[test]
fn prefixes_are_rewritten_with_one_slash() {
    for (path, len, replacement, expected) in [
        ("/inventory/x?q=1", 10, "/", "/x?q=1"),
        ("/inventory/x", 10, "/v1/", "/v1/x"),
        ("/inventory/x", 10, "/v1", "/v1/x"),
        ("/inventory", 10, "/", "/"),
        ("/inventory?q", 10, "/v1", "/v1?q"),
        ("/inventory", 10, "", "/"),
        ("/x", 0, "/v1", "/v1/x"),
        ("/", 0, "/v1", "/v1/"),
    ] {
        assert_eq!(rewrite(path, len, replacement), expected, "{path} {replacement}");
    }
}

#[test]
fn deep_paths_cost_no_more_than_the_deepest_prefix() {
    let deep = "/a".repeat(50_000);
    assert_eq!(find(&[on(prefix("/a/a/a"))], "h", &deep), Some((0, 6)));
}

/// The rules of the module's documentation, one route at a time.
fn naive(routes: &[RouteMatch], request: &Query<'_>) -> Option<usize> {
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
                (rest.is_empty() || rest.starts_with('/')).then_some((0, prefix.len()))
            }
        }?;
        let method = route.methods.is_empty() || route.methods.contains(request.method);
        let headers = route.headers.iter().all(|(name, _)| request.headers.contains_key(name));
        let query = route.query.iter().all(|(name, _)| request.query == Some(name));
        let specific = (!route.methods.is_empty(), route.headers.len(), route.query.len());
        (method && headers && query).then_some((hostname, path, specific, Reverse(index)))
    };
    routes.iter().enumerate().filter_map(rank).max().map(|(.., Reverse(index))| index)
}

fn any_route() -> impl Strategy<Value = RouteMatch> {
    let hostname = prop_oneof![
        "[ab](\\.[ab]){0,2}".prop_map(HostnameMatch::Exact),
        "[ab](\\.[ab]){0,1}".prop_map(HostnameMatch::Wildcard),
    ];
    let path = prop_oneof![
        "(/[ab]){1,3}/?".prop_map(PathMatch::Exact),
        "(/[ab]){0,3}/?".prop_map(PathMatch::Prefix),
        prop_oneof![Just("/a/.*"), Just("/.*b"), Just("/[ab]")].prop_map(|text| PathMatch::Regex(regex(text))),
    ];
    let headers = proptest::collection::vec(prop_oneof![Just("x-a"), Just("x-b")], 0..3);
    let parameters = proptest::collection::vec(prop_oneof![Just("p"), Just("q")], 0..2);
    let methods = proptest::collection::vec(prop_oneof![Just(Method::GET), Just(Method::POST)], 0..2);
    (proptest::collection::vec(hostname, 0..3), path, methods, headers, parameters).prop_map(
        |(hostnames, path, methods, headers, parameters)| RouteMatch {
            scheme: None,
            hostnames,
            path,
            methods,
            headers: headers.into_iter().map(|name| (HeaderName::from_static(name), ValueMatch::Present)).collect(),
            query: parameters.into_iter().map(|name| (name.to_owned(), ValueMatch::Present)).collect(),
        },
    )
}

proptest! {
    #[test]
    fn agrees_with_the_naive_matcher(
        routes in proptest::collection::vec(any_route(), 0..12),
        hostname in "[ab](\\.[ab]){0,3}",
        path in "(/[ab]){0,4}/?",
        post in any::<bool>(),
        header in proptest::option::of(prop_oneof![Just("x-a"), Just("x-b")]),
        query in proptest::option::of(prop_oneof![Just("p"), Just("q")]),
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let mut headers = HeaderMap::new();
        if let Some(name) = header {
            headers.insert(name, http::HeaderValue::from_static("1"));
        }
        let method = if post { Method::POST } else { Method::GET };
        let request = Query { scheme: "https", hostname: &hostname, path: &path, query, method: &method, headers: &headers };
        let router = Router::build(routes.iter().cloned().enumerate().map(|(index, route)| (route, index)).collect());
        prop_assert_eq!(router.find(&request).map(|found| *found.target), naive(&routes, &request));
    }
}
