//! Stored responses of the test host: the gateway's rules (RFC 9111 section 3, read strictly) over a virtual clock.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

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

/// Whose response it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// The operator says that all callers get the same.
    All,
    /// Nobody has named the caller.
    Unnamed,
    /// A principal keeps callers apart.
    Principal,
}

/// The client's values of the fields that the plugin changed.
pub(super) type Edited = BTreeMap<String, Vec<Vec<u8>>>;

/// What may be kept of an exchange.
pub(super) struct Candidate<'a> {
    pub(super) key: String,
    pub(super) readers: Readers,
    /// Also what doesn't say that it may be used again.
    pub(super) unmarked: bool,
    /// The upstream was asked for `identity`, so Accept-Encoding tells no responses apart.
    pub(super) identity: bool,
    /// The client asked with GET, and that is what was sent.
    pub(super) get: bool,
    pub(super) request: &'a FieldList,
    pub(super) edited: &'a Edited,
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

/// Whether a field carries what a caller is known by, or who the caller is, as far as its name tells.
fn is_credential(name: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_lowercase()) } else { '-' };
    let name: String = name.bytes().map(fold).collect();
    const PARTS: [&str; 29] = [
        "access-key",
        "account",
        "api-key",
        "apikey",
        "assertion",
        "auth",
        "client-id",
        "clientcert",
        "consumer",
        "cookie",
        "credential",
        "csrf",
        "customer",
        "dpop",
        "email",
        "identity",
        "jwt",
        "oidc",
        "passw",
        "principal",
        "saml",
        "secret",
        "session",
        "signature",
        "subject",
        "tenant",
        "token",
        "userinfo",
        "username",
    ];
    const WORDS: [&str; 20] = [
        "caller", "cert", "claims", "dn", "group", "groups", "key", "login", "member", "org", "owner", "role", "roles",
        "scope", "scopes", "sid", "sub", "uid", "upn", "userid",
    ];
    // Of what these begin, only what is known to be of the connection or the target is nobody's name: what the next proxy
    // asserts can't be listed here.
    const ASSERTED: [&str; 10] = [
        "client-cert",
        "client-dn",
        "client-verif",
        "forward-",
        "forwarded-",
        "remote-",
        "ssl-client",
        "tls-client",
        "vouch-",
        "webauth-",
    ];
    const OF_THE_WAY: [&str; 19] = [
        "addr", "address", "by", "cipher", "for", "host", "ip", "method", "path", "port", "prefix", "proto",
        "protocol", "scheme", "server", "ssl", "uri", "url", "version",
    ];
    let bare = name.strip_prefix("x-").unwrap_or(&name);
    let last = bare.rsplit('-').next().unwrap_or_default();
    let is_asserted = ASSERTED.iter().any(|start| bare.starts_with(start)) && !OF_THE_WAY.contains(&last);
    let mut words = bare.split('-');
    // User-Agent and Sec-Fetch-User come from every browser, and say nothing of who uses it.
    let is_of_program = bare.starts_with("sec-") || bare.contains("user-agent");
    let names_user = !is_of_program && words.clone().any(|word| word == "user");
    bare == "from"
        || is_asserted
        || names_user
        || bare.ends_with("xsrf")
        || words.any(|word| WORDS.contains(&word))
        || PARTS.iter().any(|part| bare.contains(part))
}

/// Names and values of the client's, still there or taken off by the plugin.
fn sent<'a>(request: &'a FieldList, edited: &'a Edited) -> impl Iterator<Item = (&'a str, Vec<&'a [u8]>)> {
    let taken = edited.iter().filter(|(_, values)| !values.is_empty());
    let taken = taken.map(|(name, values)| (name.as_str(), values.iter().map(Vec::as_slice).collect()));
    let there = request.iter().filter(|(name, _)| !edited.contains_key(name));
    there.map(|(name, value)| (name.as_str(), vec![value.as_slice()])).chain(taken)
}

/// What tells callers apart beside the principal, for the key: credentials, and whatever else the plugin changed of what
/// the client sent. `named_here`: the plugin itself has named the principal, which stands for what it took off.
pub(super) fn caller(request: &FieldList, edited: &Edited, readers: Readers, named_here: bool) -> String {
    let named = readers == Readers::Principal;
    let covered = |name: &str| named && named_here && edited.contains_key(name);
    let counts = |name: &str| match named {
        true => !covered(name) && (is_credential(name) || edited.contains_key(name)),
        false => edited.contains_key(name) && !is_credential(name),
    };
    if readers == Readers::All {
        return String::new();
    }
    let mut fields: Vec<_> = sent(request, edited).filter(|(name, _)| counts(name)).collect();
    fields.sort();
    if fields.is_empty() { String::new() } else { format!("{fields:?}") }
}

/// How long a response says that it is fresh (RFC 9111 section 4.2.1); `None` where it doesn't.
fn lifetime(response: &FieldList) -> Option<u64> {
    if let Some(name) = ["s-maxage", "max-age"].iter().find(|name| directive(response, name)) {
        return Some(seconds(response, name).unwrap_or(0));
    }
    let date = |name| {
        let value = values(response, name).next().and_then(|value| std::str::from_utf8(value).ok());
        value.and_then(|value| httpdate::parse_http_date(value).ok())
    };
    has(response, "expires").then(|| {
        let from = date("date").unwrap_or_else(SystemTime::now);
        date("expires").and_then(|end| end.duration_since(from).ok()).unwrap_or_default().as_secs()
    })
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
        let credentials = self.readers == Readers::Unnamed
            && !public
            && sent(request, self.edited).any(|(name, _)| is_credential(name));
        // The next client's fields could not be compared with what this one sent.
        let varies = vary.len() > 8 || vary.iter().any(|name| name == "*" || self.edited.contains_key(name));
        let unmarked = self.readers != Readers::All
            && match lifetime(response) {
                Some(fresh) => fresh <= age(response),
                None => !public && !self.unmarked,
            };
        if !complete || personal || credentials || varies || unmarked {
            return None;
        }
        let strict = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| directive(response, name));
        let ttl = if strict {
            let fresh = lifetime(response).unwrap_or(0);
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

    fn kept(request: &[(&str, &str)], response: &[(&str, &str)]) -> Vec<Stored> {
        let (mut all, request) = (Vec::new(), fields(request));
        let candidate = Candidate {
            key: "k".to_owned(),
            readers: Readers::Unnamed,
            unmarked: true,
            identity: false,
            get: true,
            request: &request,
            edited: &Edited::new(),
            status: 200,
            headers: fields(response),
            ttl: Duration::from_secs(60),
        };
        candidate.keep(b"body".to_vec(), Duration::from_secs(1), &mut all);
        all
    }

    fn pairs(of: &serde_json::Value) -> FieldList {
        let pairs = of.as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().into())).collect()
    }

    /// The gateway's rules are held to the same vectors.
    #[test]
    fn vectors_hold() {
        let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../tests/stored.json")).unwrap();
        for vector in vectors {
            let request = pairs(&vector["request"]);
            let edited: Edited = pairs(&vector["taken"]).into_iter().map(|(name, value)| (name, vec![value])).collect();
            let candidate = Candidate {
                key: String::new(),
                readers: match vector["readers"].as_str() {
                    Some("all") => Readers::All,
                    Some("principal") => Readers::Principal,
                    _ => Readers::Unnamed,
                },
                unmarked: vector["unmarked"] == true,
                identity: false,
                get: true,
                request: &request,
                edited: &edited,
                status: 200,
                headers: pairs(&vector["response"]),
                ttl: Duration::from_secs(60),
            };
            assert_eq!(candidate.lifetime().map(|ttl| ttl.as_secs()), vector["seconds"].as_u64(), "{}", vector["name"]);
        }
    }

    #[test]
    fn a_hit_tells_its_age_and_ends_with_its_time() {
        let all = kept(&[], &[("age", "5")]);
        let hit = find(&all, "k", ("GET", &Vec::new()), None, Duration::from_secs(8)).unwrap();
        assert_eq!(values(&hit.headers, "age").next(), Some(&b"12"[..]));
        assert_eq!(values(&hit.headers, "cache-status").next(), Some(&b"gateway; hit; ttl=53"[..]));
        assert!(find(&all, "k", ("POST", &Vec::new()), None, Duration::from_secs(8)).is_none());
        assert!(find(&all, "k", ("GET", &Vec::new()), None, Duration::from_secs(61)).is_none());
    }

    #[test]
    fn vary_tells_responses_apart() {
        let all = kept(&[("accept", "a")], &[("vary", "Accept")]);
        assert!(find(&all, "k", ("GET", &fields(&[("accept", "a")])), None, Duration::from_secs(2)).is_some());
        assert!(find(&all, "k", ("GET", &fields(&[("accept", "b")])), None, Duration::from_secs(2)).is_none());
    }
}
