//! Stored responses of the test host: the gateway's rules (RFC 9111 section 3, read strictly) over a virtual clock.

use std::collections::BTreeSet;
use std::time::Duration;

use super::message::FieldList;

/// A response that is kept.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    key: String,
    vary: FieldList,
    pub(super) status: u16,
    pub(super) headers: FieldList,
    pub(super) body: Vec<u8>,
    at: Duration,
    ttl: Duration,
}

/// What may be kept of an exchange.
pub(super) struct Candidate<'a> {
    pub(super) key: String,
    /// A principal in the key keeps callers apart, or the operator says that there is nothing to keep apart.
    pub(super) keeps_apart: bool,
    /// The upstream was asked for `identity`, so Accept-Encoding tells no responses apart.
    pub(super) identity: bool,
    /// The client asked with GET, and that is what was sent.
    pub(super) get: bool,
    pub(super) request: &'a FieldList,
    /// The names of the request's fields that the plugin changed, so that the client's are not known.
    pub(super) edited: &'a BTreeSet<String>,
    pub(super) status: u16,
    pub(super) headers: FieldList,
    pub(super) ttl: Duration,
}

fn values<'a>(fields: &'a FieldList, name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

fn has(fields: &FieldList, name: &str) -> bool {
    fields.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
}

/// The elements of a list field, in lower case.
fn list(fields: &FieldList, name: &str) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).to_ascii_lowercase();
    let elements = |text: String| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let name = name.to_owned();
    let all = fields.iter().filter(|(key, _)| *key == name).flat_map(|(_, value)| elements(text(value)));
    all.filter(|element| !element.is_empty()).collect()
}

fn directive(fields: &FieldList, name: &str) -> bool {
    list(fields, "cache-control").iter().any(|element| element.split('=').next().map(str::trim) == Some(name))
}

fn seconds(fields: &FieldList, name: &str) -> Option<u64> {
    list(fields, "cache-control").iter().find_map(|element| {
        let (directive, value) = element.split_once('=')?;
        (directive.trim() == name).then(|| delta_seconds(value.trim().trim_matches('"')))?
    })
}

fn age(fields: &FieldList) -> u64 {
    let value = values(fields, "age").next().and_then(|value| std::str::from_utf8(value).ok());
    value.and_then(|value| delta_seconds(value.trim())).unwrap_or(0)
}

/// RFC 9111 section 1.2.2: a value greater than what can be held counts as 2^31 or the greatest that can be.
fn delta_seconds(text: &str) -> Option<u64> {
    const MOST: u64 = 1 << 31;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().map_or(MOST, |seconds: u64| seconds.min(MOST)))
}

impl Candidate<'_> {
    /// How long it may be kept; `None` where it may not.
    fn lifetime(&self) -> Option<Duration> {
        let (request, response) = (self.request, &self.headers);
        let complete = self.get && matches!(self.status, 200 | 203 | 204 | 300 | 301 | 308);
        let personal = has(response, "content-range")
            || has(response, "set-cookie")
            || directive(request, "no-store")
            || ["no-store", "no-cache", "private"].iter().any(|name| directive(response, name));
        let vary = list(response, "vary");
        let public = directive(response, "public") || directive(response, "s-maxage");
        // RFC 9111 section 3.5: credentials, and nothing that keeps callers apart.
        let sent = |name| has(request, name) || self.edited.contains(name);
        let credentials = (sent("authorization") || sent("cookie")) && !self.keeps_apart && !public;
        // The next client's fields could not be compared with what this one sent.
        let varies = vary.len() > 8 || vary.iter().any(|name| name == "*" || self.edited.contains(name));
        if !complete || personal || credentials || varies {
            return None;
        }
        let strict = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| directive(response, name));
        let ttl = if strict {
            let fresh = seconds(response, "s-maxage").or_else(|| seconds(response, "max-age")).unwrap_or(0);
            self.ttl.min(Duration::from_secs(fresh.saturating_sub(age(response))))
        } else {
            self.ttl
        };
        (!ttl.is_zero()).then_some(ttl)
    }

    /// Keeps it, where it may be kept, with its complete body.
    pub(super) fn keep(self, body: Vec<u8>, now: Duration, all: &mut Vec<Stored>) {
        let Some(ttl) = self.lifetime() else { return };
        let length = values(&self.headers, "content-length").next().and_then(|value| std::str::from_utf8(value).ok());
        if body.len() > 1 << 20 || length.is_some_and(|length| length.parse() != Ok(body.len())) {
            return;
        }
        let mut vary = list(&self.headers, "vary");
        vary.retain(|name| !(self.identity && name == "accept-encoding"));
        vary.sort();
        vary.dedup();
        let vary = vary.into_iter().map(|name| (name.clone(), joined(self.request, &name))).collect();
        all.retain(|stored| stored.key != self.key || stored.vary != vary);
        let Self { key, status, headers, .. } = self;
        all.push(Stored { key, vary, status, headers, body, at: now, ttl });
    }
}

/// All values of a name, told apart from one that looks like them.
fn joined(fields: &FieldList, name: &str) -> Vec<u8> {
    values(fields, name).flat_map(|value| [value, b"\n"].concat()).collect()
}

/// The response kept for this key and these request fields, with Age and Cache-Status. `forwarded`: the upstream was asked
/// first, and answered with this status or not at all.
pub(super) fn find(
    all: &[Stored],
    key: &str,
    (method, request): (&str, &FieldList),
    forwarded: Option<Option<u16>>,
    now: Duration,
) -> Option<Stored> {
    if method != "GET" && method != "HEAD" {
        return None;
    }
    let fits = |stored: &&Stored| {
        let fresh = now.saturating_sub(stored.at) < stored.ttl;
        fresh && stored.key == key && stored.vary.iter().all(|(name, value)| joined(request, name) == *value)
    };
    let mut hit = all.iter().rev().find(fits)?.clone();
    let resident = now.saturating_sub(hit.at);
    let age = age(&hit.headers) + resident.as_secs();
    hit.headers.retain(|(name, _)| name != "age");
    hit.headers.push(("age".to_owned(), age.to_string().into_bytes()));
    let status = match forwarded {
        None => format!("gateway; hit; ttl={}", hit.ttl.saturating_sub(resident).as_secs()),
        Some(None) => "gateway; fwd=stale".to_owned(),
        Some(Some(status)) => format!("gateway; fwd=stale; fwd-status={status}"),
    };
    hit.headers.push(("cache-status".to_owned(), status.into_bytes()));
    Some(hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&str, &str)]) -> FieldList {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn kept(request: &[(&str, &str)], response: &[(&str, &str)], keeps_apart: bool) -> Vec<Stored> {
        let (mut all, request) = (Vec::new(), fields(request));
        let candidate = Candidate {
            key: "k".to_owned(),
            keeps_apart,
            identity: false,
            get: true,
            request: &request,
            edited: &BTreeSet::new(),
            status: 200,
            headers: fields(response),
            ttl: Duration::from_secs(60),
        };
        candidate.keep(b"body".to_vec(), Duration::from_secs(1), &mut all);
        all
    }

    #[test]
    fn what_is_personal_is_not_kept() {
        assert_eq!(kept(&[], &[], false).len(), 1);
        for (name, value) in [
            ("set-cookie", "a=b"),
            ("cache-control", "max-age=9, Private"),
            ("cache-control", "no-store"),
            ("cache-control", "must-revalidate"),
            ("vary", "accept, *"),
            ("content-range", "bytes 0-3/9"),
            ("content-length", "9"),
        ] {
            assert!(kept(&[], &[(name, value)], true).is_empty(), "{name}: {value}");
        }
        assert!(kept(&[("authorization", "x")], &[], false).is_empty());
        assert_eq!(kept(&[("authorization", "x")], &[], true).len(), 1);
        assert_eq!(kept(&[("cookie", "x")], &[("cache-control", "public")], false).len(), 1);
    }

    #[test]
    fn a_hit_tells_its_age_and_ends_with_its_time() {
        let all = kept(&[], &[("age", "5")], false);
        let hit = find(&all, "k", ("GET", &Vec::new()), None, Duration::from_secs(8)).unwrap();
        assert_eq!(values(&hit.headers, "age").next(), Some(&b"12"[..]));
        assert_eq!(values(&hit.headers, "cache-status").next(), Some(&b"gateway; hit; ttl=53"[..]));
        assert!(find(&all, "k", ("POST", &Vec::new()), None, Duration::from_secs(8)).is_none());
        assert!(find(&all, "k", ("GET", &Vec::new()), None, Duration::from_secs(61)).is_none());
    }

    #[test]
    fn vary_tells_responses_apart() {
        let all = kept(&[("accept", "a")], &[("vary", "Accept")], false);
        assert!(find(&all, "k", ("GET", &fields(&[("accept", "a")])), None, Duration::from_secs(2)).is_some());
        assert!(find(&all, "k", ("GET", &fields(&[("accept", "b")])), None, Duration::from_secs(2)).is_none());
    }
}
