//! Conditions on method, header fields and query parameters.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::query::Query;
use crate::model::ValueMatch;

/// What has to hold beside hostname and path.
#[derive(Debug)]
pub(super) struct Condition {
    /// Looked at by the router itself, as it decides before all else.
    pub(super) scheme: Option<&'static str>,
    pub(super) methods: Vec<Method>,
    pub(super) headers: Vec<(HeaderName, ValueMatch)>,
    pub(super) query: Vec<(String, ValueMatch)>,
}

/// A request, with what was found out about it for one candidate and holds for the others.
pub(super) struct Asked<'q> {
    request: &'q Query<'q>,
    parameters: OnceCell<Parameters<'q>>,
}

/// Decoded names and values.
type Parameters<'q> = SmallVec<[(Cow<'q, str>, Cow<'q, str>); 8]>;

impl<'q> Asked<'q> {
    pub(super) fn new(request: &'q Query<'q>) -> Self {
        Self { request, parameters: OnceCell::new() }
    }

    /// The decoded parameters of the query.
    fn parameters(&self) -> &Parameters<'q> {
        self.parameters.get_or_init(|| form_urlencoded::parse(self.request.query.unwrap_or("").as_bytes()).collect())
    }
}

impl Condition {
    /// How demanding it is; greater goes first.
    pub(super) fn rank(&self) -> (bool, usize, usize) {
        (!self.methods.is_empty(), self.headers.len(), self.query.len())
    }

    /// Whether all of it holds. A field or parameter that comes several times holds if one of its values does.
    pub(super) fn holds(&self, asked: &Asked<'_>) -> bool {
        super::examined::count();
        self.covers(asked.request.method)
            && self.headers.iter().all(|(name, expected)| {
                asked.request.headers.get_all(name).any(|value| match value.expose_str() {
                    Ok(value) => holds(expected, value),
                    // Values outside ASCII can't equal a configured one.
                    Err(_) => matches!(expected, ValueMatch::Present),
                })
            })
            && self.query.iter().all(|(name, expected)| {
                asked.parameters().iter().any(|(key, value)| key == name && holds(expected, value))
            })
    }

    /// RFC 9110 section 9.1: HEAD is there wherever GET is.
    fn covers(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

fn holds(expected: &ValueMatch, value: &str) -> bool {
    match expected {
        ValueMatch::Present => true,
        ValueMatch::Exact(exact) => exact == value,
        ValueMatch::Regex(regex) => regex.is_match(value),
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::message::FieldMap;

    #[test]
    fn parameters_are_decoded() {
        let (method, headers) = (Method::GET, FieldMap::new());
        let query = Some("a=1&&b=%20x+y&c&a=%zz=&%ff=+%2b");
        let request = Query { scheme: "https", hostname: "", path: "/", method: &method, headers: &headers, query };
        let expected = [("a", "1"), ("b", " x y"), ("c", ""), ("a", "%zz="), ("\u{fffd}", " +")];
        let asked = Asked::new(&request);
        assert_eq!(asked.parameters().iter().map(|(key, value)| (&**key, &**value)).collect::<Vec<_>>(), expected);
    }
}
