//! Stored responses of the test host: the gateway's rules over a virtual clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use plugin_rules::fields::Fields;
use plugin_rules::stored::{self as rules, Edit, MAX_BODY, Readers};

use super::message::FieldList;

/// A response that is kept.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    key: Box<str>,
    vary: Vec<(String, Vec<Vec<u8>>)>,
    pub(super) status: u16,
    pub(super) headers: FieldList,
    pub(super) body: Vec<u8>,
    at: Duration,
    ttl: Duration,
}

/// The client's values of the fields that the plugin changed.
pub(super) type Edited = BTreeMap<String, Vec<Vec<u8>>>;

/// A request that has gone to the upstream.
pub(super) struct Sent<'a> {
    /// The client asked with GET, and that is what was sent.
    pub(super) is_get: bool,
    pub(super) fields: &'a FieldList,
    pub(super) edited: &'a Edited,
    /// The plugin itself has named the principal, which stands for what it took off.
    pub(super) named_here: bool,
}

impl rules::Request for Sent<'_> {
    fn is_get(&self) -> bool {
        self.is_get
    }

    fn fields(&self) -> &impl Fields {
        self.fields
    }

    fn edits(&self) -> impl Iterator<Item = Edit<'_, impl Iterator<Item = &[u8]> + Clone>> {
        self.edited.iter().map(|(name, sent)| Edit {
            name,
            sent: sent.iter().map(Vec::as_slice),
            by_namer: self.named_here,
        })
    }

    fn is_named_credential(&self, _name: &str) -> bool {
        false
    }
}

/// What may be kept of an exchange.
pub(super) struct Candidate {
    pub(super) key: Box<str>,
    /// The upstream was asked for `identity`, so Accept-Encoding tells no responses apart.
    pub(super) identity: bool,
    pub(super) status: u16,
    pub(super) headers: FieldList,
    pub(super) ttl: Duration,
}

impl Candidate {
    /// Keeps it with its complete body, where it may be kept. `unmarked`: also what doesn't say that it may be used again.
    pub(super) fn keep(
        self,
        request: &Sent<'_>,
        (readers, unmarked): (Readers<'_>, bool),
        body: Vec<u8>,
        (date, now): (SystemTime, Duration),
        all: &mut Vec<Stored>,
    ) {
        let Self { key, identity, status, headers, ttl } = self;
        let Ok(ttl) = rules::storable(request, (status, &headers), (readers, unmarked), ttl, date) else { return };
        let length = rules::length(&headers);
        if body.len() > MAX_BODY || length.is_some_and(|length| length != body.len()) {
            return;
        }
        let names = rules::vary(&headers).unwrap_or_default();
        let names = names.into_iter().filter(|name| rules::tells_apart(name, identity)).map(str::to_ascii_lowercase);
        let vary = names
            .map(|name| {
                let values = request.fields.values(&name).map(<[u8]>::to_vec).collect();
                (name, values)
            })
            .collect();
        all.retain(|stored| stored.key != key || stored.vary != vary);
        all.push(Stored { key, vary, status, headers, body, at: now, ttl });
    }
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
    if !rules::answers(method) {
        return None;
    }
    let same = |(name, values): &(String, Vec<Vec<u8>>)| request.values(name).eq(values.iter().map(Vec::as_slice));
    let fits = |stored: &&Stored| {
        now.saturating_sub(stored.at) < stored.ttl && *stored.key == *key && stored.vary.iter().all(same)
    };
    let mut hit = all.iter().rev().find(fits)?.clone();
    let resident = now.saturating_sub(hit.at);
    let age = rules::age(&hit.headers).saturating_add(resident).as_secs();
    hit.headers.retain(|(name, _)| name != "age");
    hit.headers.push(("age".to_owned(), age.to_string().into_bytes()));
    let status = rules::cache_status(forwarded, hit.ttl.saturating_sub(resident));
    hit.headers.push(("cache-status".to_owned(), status.into_bytes()));
    Some(hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&str, &str)]) -> FieldList {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn kept(request: &[(&str, &str)], response: &[(&str, &str)]) -> Vec<Stored> {
        let (mut all, request, edited) = (Vec::new(), fields(request), Edited::new());
        let request = Sent { is_get: true, fields: &request, edited: &edited, named_here: false };
        let headers = fields(response);
        let ttl = Duration::from_secs(60);
        let candidate = Candidate { key: "k".into(), identity: false, status: 200, headers, ttl };
        let at = (SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        candidate.keep(&request, (Readers::Unnamed, true), b"body".to_vec(), at, &mut all);
        all
    }

    #[test]
    fn a_hit_tells_its_age_and_ends_with_its_time() {
        let all = kept(&[], &[("age", "5")]);
        let find = |method, seconds| find(&all, "k", (method, &Vec::new()), None, Duration::from_secs(seconds));
        let hit = find("GET", 8).unwrap();
        assert_eq!(hit.headers.values("age").next(), Some(&b"12"[..]));
        assert_eq!(hit.headers.values("cache-status").next(), Some(&b"gateway; hit; ttl=53"[..]));
        assert!(find("POST", 8).is_none() && find("GET", 61).is_none());
    }

    #[test]
    fn vary_tells_responses_apart() {
        let all = kept(&[("accept", "a")], &[("vary", "Accept")]);
        let find = |accept| find(&all, "k", ("GET", &fields(&[("accept", accept)])), None, Duration::from_secs(2));
        assert!(find("a").is_some() && find("b").is_none());
    }
}
