//! The router against examples and against a naive matcher.

use http::{HeaderName, Method};
use proptest::prelude::*;

use super::*;
use crate::fuzzing::route::naive;
use crate::message::FieldMap;
use crate::model::{HostnameMatch, PathMatch, ValueMatch};

fn regex(text: &str) -> regex::Regex {
    regex::Regex::new(&format!(r"\A(?:{text})\z")).unwrap()
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

fn find(routes: &[RouteMatch], hostname: &str, path: &str) -> Option<usize> {
    let router = Router::build(routes.iter().cloned().enumerate().map(|(index, route)| (route, index)).collect());
    let query = Query { scheme: "https", hostname, path, query: None, method: &Method::GET, headers: &FieldMap::new() };
    router.find(&query).copied()
}

#[test]
fn hostnames_by_specificity() {
    let routes = [host(&[]), host(&["*.no"]), host(&["*.a.no", "a.no"]), host(&["x.a.no"])];
    for (hostname, expected) in
        [("x.a.no", 3), ("y.a.no", 2), ("z.y.a.no", 2), ("a.no", 2), ("b.no", 1), ("no", 0), ("[::1]", 0), ("", 0)]
    {
        assert_eq!(find(&routes, hostname, "/"), Some(expected), "{hostname}");
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
            Query { scheme, hostname: "a.no", path, query: None, method: &Method::GET, headers: &FieldMap::new() };
        router.find(&query).copied()
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
        ("/", 0),
        ("/ab", 0),
        ("/a", 1),
        ("/a/", 1),
        ("/a/c/d/e", 1),
        ("/a/b", 2),
        ("/a/b/", 2),
        ("/a/bc", 1),
        ("/a/43", 3),
        ("/a/4x", 4),
        ("/a/42", 5),
        ("*", 0),
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
        let mut headers = FieldMap::new();
        if let Some(value) = canary {
            headers.insert("x-canary", http::HeaderValue::from_static(value));
        }
        *router
            .find(&Query { scheme: "https", hostname: "a.no", path: "/x", query, method, headers: &headers })
            .unwrap()
    };
    assert_eq!(ask(&Method::POST, Some("1"), None), "post");
    assert_eq!(ask(&Method::GET, Some("1"), None), "canary");
    assert_eq!(ask(&Method::GET, Some("2"), Some("a=1&beta=yes")), "beta");
    assert_eq!(ask(&Method::GET, Some("2"), Some("beta=no")), "all");
}

#[test]
fn get_covers_head() {
    let get = RouteMatch { methods: vec![Method::GET], ..RouteMatch::default() };
    let head = RouteMatch { methods: vec![Method::HEAD], ..RouteMatch::default() };
    let find = |routes: &[&RouteMatch], method: &Method| {
        let router = Router::build(routes.iter().map(|route| (*route).clone()).zip(0..).collect());
        let query = Query { scheme: "http", hostname: "h", path: "/", query: None, method, headers: &FieldMap::new() };
        router.find(&query).copied()
    };
    assert_eq!(find(&[&get], &Method::HEAD), Some(0));
    assert_eq!(find(&[&get], &Method::POST), None);
    assert_eq!(find(&[&head], &Method::GET), None);
    // Both name methods: the order of the file decides.
    assert_eq!(find(&[&head, &get], &Method::HEAD), Some(0));
    assert_eq!(find(&[&get, &head], &Method::HEAD), Some(0));
}

#[test]
fn prefixes_are_rewritten_with_one_slash() {
    for (path, prefix, replacement, expected) in [
        ("/inventory/x?q=1", "/inventory", "/", "/x?q=1"),
        ("/inventory/x", "/inventory/", "/v1/", "/v1/x"),
        ("/inventory/x", "/inventory", "/v1", "/v1/x"),
        ("/inventory", "/inventory", "/", "/"),
        ("/inventory?q", "/inventory/", "/v1", "/v1?q"),
        ("/inventory", "/inventory", "", "/"),
        ("/x", "/", "/v1", "/v1/x"),
        ("/", "/", "/v1", "/v1/"),
    ] {
        assert_eq!(rewrite(path, prefix, replacement), expected, "{path} {replacement}");
    }
}

#[test]
fn a_target_outside_of_the_prefix_is_not_cut_by_its_length() {
    for path in ["/orders/7?x=1", "/inventories", "/inv", "/", "*", "/x?/inventory/"] {
        assert_eq!(rewrite(path, "/inventory", "/v1"), path);
    }
    assert_eq!(rewrite("*", "/", "/v1"), "*");
}

#[test]
fn deep_paths_cost_no_more_than_the_deepest_prefix() {
    let deep = "/a".repeat(50_000);
    assert_eq!(find(&[on(prefix("/a/a/a"))], "h", &deep), Some(0));
}

/// What a look-up found and how much it tried.
fn examined(router: &Router<usize>, hostname: &str, path: &str, query: Option<&str>) -> (Option<usize>, usize) {
    let (method, headers) = (Method::GET, FieldMap::new());
    let query = Query { scheme: "https", hostname, path, query, method: &method, headers: &headers };
    examined::take();
    (router.find(&query).copied(), examined::take())
}

#[test]
fn ten_thousand_routes_are_not_tried_one_by_one() {
    let count = 10_000;
    for (what, route) in [
        ("hostnames", (|index| host(&[&format!("h{index}.no")])) as fn(usize) -> RouteMatch),
        ("exact paths", |index| on(exact(&format!("/p/{index}/x")))),
        ("prefixes", |index| on(prefix(&format!("/p/{index}")))),
        ("regular expressions", |index| on(PathMatch::Regex(regex(&format!("/p/{index}/[a-z]"))))),
    ] {
        let routes = (0..count).map(route).chain([on(prefix("/"))]);
        let router = Router::build(routes.zip(0..).collect());
        for (hostname, path, expected) in [("h77.no", "/p/77/x", 77), ("other", "/p/none", count)] {
            let (found, tried) = examined(&router, hostname, path, None);
            assert_eq!(found, Some(expected), "{what}");
            assert!(tried <= 4, "{tried} were tried among {count} {what}");
        }
    }
}

#[test]
fn regular_expressions_that_match_nothing_cost_one_pass() {
    let routes =
        (0..200).map(|index| on(PathMatch::Regex(regex(&format!("/[a-z]+/{index}"))))).chain([on(prefix("/"))]);
    let router = Router::build(routes.zip(0..).collect());
    assert_eq!(examined(&router, "h", "/x/y", None), (Some(200), 2));
    assert_eq!(examined(&router, "h", "/x/7", None).0, Some(7));
}

#[test]
fn regular_expressions_keep_their_order_over_all_beginnings() {
    let patterns = ["/a/b/.*", "/a/.*", "/.*", "/a/b/c"];
    for shift in 0..patterns.len() {
        let routes: Vec<_> =
            (0..patterns.len()).map(|at| on(PathMatch::Regex(regex(patterns[(at + shift) % 4])))).collect();
        assert_eq!(find(&routes, "h", "/a/b/c"), Some(0));
    }
}

fn any_route() -> impl Strategy<Value = RouteMatch> {
    let hostname = prop_oneof![
        "[ab](\\.[ab]){0,2}".prop_map(HostnameMatch::Exact),
        "[ab](\\.[ab]){0,1}".prop_map(HostnameMatch::Wildcard),
    ];
    let path = prop_oneof![
        "(/[ab]){1,3}/?".prop_map(PathMatch::Exact),
        "(/[ab]){0,3}/?".prop_map(PathMatch::Prefix),
        prop::sample::select(vec![
            "/a/.*",
            "/.*b",
            "/[ab]",
            "/a/b/[ab]",
            "/a/(a|b)/?",
            "/a/b|/b/a",
            "/b/[^/]+",
            "/a/a"
        ])
        .prop_map(|text| PathMatch::Regex(regex(text))),
    ];
    let value = prop_oneof![
        Just(ValueMatch::Present),
        "[12]".prop_map(ValueMatch::Exact),
        Just(ValueMatch::Regex(regex("[2-3]"))),
    ];
    let headers = prop::collection::vec((prop_oneof![Just("x-a"), Just("x-b")], value.clone()), 0..3);
    let parameters = prop::collection::vec((prop_oneof![Just("p"), Just("q")], value), 0..2);
    let methods = prop::collection::vec(any_method(), 0..2);
    let scheme = prop_oneof![2 => Just(None), 1 => Just(Some("http")), 1 => Just(Some("https"))];
    (scheme, prop::collection::vec(hostname, 0..3), path, methods, headers, parameters).prop_map(
        |(scheme, hostnames, path, methods, headers, parameters)| RouteMatch {
            scheme,
            hostnames,
            path,
            methods,
            headers: headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)).collect(),
            query: parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        },
    )
}

fn any_method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_the_naive_matcher(
        routes in prop::collection::vec(any_route(), 0..12),
        scheme in prop_oneof![Just("http"), Just("https")],
        hostname in "[ab](\\.[ab]){0,3}",
        path in "(/[ab]){0,4}/?",
        method in any_method(),
        fields in prop::collection::vec((prop_oneof![Just("x-a"), Just("x-b")], "[123]"), 0..4),
        query in prop::option::of("([pq]=[123])(&[pq]=[123]){0,2}"),
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let mut headers = FieldMap::new();
        for (name, value) in &fields {
            headers.append(*name, http::HeaderValue::from_str(value).unwrap());
        }
        let query = query.as_deref();
        let request = Query { scheme, hostname: &hostname, path: &path, query, method: &method, headers: &headers };
        let router = Router::build(routes.iter().cloned().zip(0..).collect());
        prop_assert_eq!(router.find(&request).copied(), naive(&routes, &request));
    }
}
