//! What was seen of an exchange, held against what was expected.

use std::collections::BTreeMap;

use crate::coded::read;
use crate::format::{Fails, Step};

/// What was seen of an exchange.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the client got.
    pub response: Response,
    /// What the upstream got, if it got anything.
    pub forwarded: Option<Forwarded>,
    /// What plugins added to the log record.
    pub log: BTreeMap<String, String>,
    /// The plugin was ended.
    pub ended: bool,
}

/// What the client got.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the upstream got.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Collects differences.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn hold<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: Option<T>, found: T) {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.0.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
    }

    fn fields(&mut self, of: &str, expected: &BTreeMap<String, Option<String>>, found: &[(String, String)]) {
        for (name, expected) in expected {
            let values = found.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            let values: Vec<&str> = values.map(String::as_str).collect();
            // Several fields of a name are one list (RFC 9110 section 5.3).
            let found = (!values.is_empty()).then(|| values.join(", "));
            self.hold(&format!("{of}{name}"), Some(expected.clone()), found);
        }
    }

    fn body(&mut self, of: &str, expected: Option<&String>, (headers, found): (&[(String, String)], &[u8])) {
        self.hold(of, expected.cloned(), String::from_utf8_lossy(&read(headers, found)).into_owned());
    }
}

impl Seen {
    /// Where this is not what was expected: nothing, or a line for each difference.
    pub fn differences(&self, step: &Step) -> Vec<String> {
        let expect = &step.expect;
        let mut differences = Differences::default();
        differences.hold("the plugin was ended", Some(expect.ends), self.ended);
        differences.hold("status", expect.status, self.response.status);
        differences.fields("header ", &expect.headers, &self.response.headers);
        differences.body("body", expect.body.as_ref(), (&self.response.headers, &self.response.body));
        match (&expect.forwarded, &self.forwarded) {
            (None, _) | (Some(None), None) => {}
            // Nobody can see what was meant for an upstream that does not listen.
            (Some(Some(_)), None) if step.fails == Some(Fails::Connect) => {}
            (Some(None), Some(_)) => differences.0.push("the request went to the upstream".to_owned()),
            (Some(Some(_)), None) => differences.0.push("the request did not go to the upstream".to_owned()),
            (Some(Some(expected)), Some(found)) => {
                differences.hold("forwarded method", expected.method.clone(), found.method.clone());
                differences.hold("forwarded target", expected.target.clone(), found.target.clone());
                differences.fields("forwarded header ", &expected.headers, &found.headers);
                differences.body("forwarded body", expected.body.as_ref(), (&found.headers, &found.body));
            }
        }
        let log: Vec<(String, String)> = self.log.clone().into_iter().collect();
        differences.fields("log field ", &expect.log, &log);
        differences.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::parse;

    #[test]
    fn each_difference_is_told_and_nothing_that_was_not_asked_for() {
        let seen = Seen {
            response: Response {
                status: 200,
                headers: vec![("x-a".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())],
                body: b"hello".to_vec(),
            },
            ..Seen::default()
        };
        let differences = |expect: &str| {
            let cases = parse(&format!("[{{name: a, steps: [{{expect: {expect}}}]}}]")).unwrap();
            seen.differences(&cases[0].steps[0])
        };
        assert!(differences("{}").is_empty());
        assert!(
            differences("{status: 200, headers: {X-A: '1, 2', x-b: null}, body: hello, forwarded: null}").is_empty()
        );
        let told =
            differences("{status: 401, headers: {x-a: null}, body: '', forwarded: {}, log: {a: '1'}, ends: true}");
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(told.contains(&"status: expected 401, found 200".to_owned()));
    }
}
