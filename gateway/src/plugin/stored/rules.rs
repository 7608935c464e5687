//! What may be kept of an exchange, and for whom: RFC 9111 section 3, read strictly. The test host of the SDK has the same
//! rules (`plugin-sdk/src/testing/stored.rs`); both are held to the vectors beside those.

use std::time::Duration;

use aws_lc_rs::digest;
use http::header::{AGE, CACHE_CONTROL, CONTENT_RANGE, DATE, EXPIRES, HeaderName, SET_COOKIE, VARY};
use http::{HeaderValue, Method};

use crate::exchange::{RequestHead, ResponseHead};
use crate::message::FieldMap;
use crate::message::headers::is_credential;
use crate::model::Storing;

/// Fields that tell responses of one key apart; more are not kept.
const MAX_VARY: usize = 8;

/// Who may get a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers<'a> {
    /// All callers: the operator said that the answers do not depend on who asks (`shared`).
    All,
    /// Callers of whom no name is known.
    Unnamed,
    /// The principal of this name.
    Principal(&'a str),
}

/// Why a response is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only GET is kept.
    Method,
    /// Not a complete, good response: 200, 203, 204, 300, 301, 308 are.
    Status,
    /// `no-store`, `no-cache` or `private`, of the request or the response.
    CacheControl,
    /// Sets a cookie.
    SetCookie,
    /// `Vary: *`, too many fields, or one that a plugin changed.
    Vary,
    /// A part of a representation.
    Partial,
    /// The request carried credentials, and no principal separates callers (RFC 9111 section 3.5).
    Credentials,
    /// `must-revalidate` or `max-age` and already stale, or no time to live.
    Stale,
    /// It doesn't say that it may be used again, and the route entry doesn't either.
    Unmarked,
}

/// How long a response may be kept, or why it may not. `ttl` is what the plugin asks for, `readers` who would get it.
///
/// What counts is the client's request: plugins may have taken its credentials off, changed its method, or its fields.
pub fn storable(
    asked: &RequestHead,
    answer: &ResponseHead,
    readers: Readers<'_>,
    storing: &Storing,
    ttl: Duration,
) -> Result<Duration, Refusal> {
    let (request, status, response) = (&asked.headers, answer.status, &answer.headers);
    // What is sent upstream in place of another method is no GET of the client's, nor the other way round.
    if asked.asked_method() != Method::GET || asked.method != Method::GET {
        return Err(Refusal::Method);
    }
    if !matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308) {
        return Err(Refusal::Status);
    }
    if response.contains_key(CONTENT_RANGE) {
        return Err(Refusal::Partial);
    }
    if response.contains_key(SET_COOKIE) {
        return Err(Refusal::SetCookie);
    }
    if has(request, "no-store") || ["no-store", "no-cache", "private"].iter().any(|name| has(response, name)) {
        return Err(Refusal::CacheControl);
    }
    // The next client's fields could not be compared with what this one sent.
    if vary(response).ok_or(Refusal::Vary)?.iter().any(|name| asked.was_edited(name)) {
        return Err(Refusal::Vary);
    }
    let public = has(response, "public") || has(response, "s-maxage");
    if readers == Readers::Unnamed && !public && has_credentials(asked, storing) {
        return Err(Refusal::Credentials);
    }
    if readers != Readers::All {
        match lifetime(response) {
            Some(fresh) if fresh <= age(response) => return Err(Refusal::Stale),
            None if !public && !storing.unmarked => return Err(Refusal::Unmarked),
            _ => {}
        }
    }
    // These forbid what this store is for, giving out stale responses (RFC 9111 sections 5.2.2.2, 5.2.2.8, 5.2.2.10).
    let strict = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| has(response, name));
    let ttl = if strict { ttl.min(lifetime(response).unwrap_or_default().saturating_sub(age(response))) } else { ttl };
    if ttl.is_zero() { Err(Refusal::Stale) } else { Ok(ttl) }
}

/// Whether the client sent what it may be known by, still there or taken off by a plugin.
fn has_credentials(asked: &RequestHead, storing: &Storing) -> bool {
    let taken = asked.field_edits().iter().filter(|edit| !edit.sent.is_empty()).map(|edit| &edit.name);
    let there = asked.headers.keys().filter(|name| !asked.was_edited(name));
    there.chain(taken).any(|name| carries_credentials(name, storing))
}

fn carries_credentials(name: &HeaderName, storing: &Storing) -> bool {
    is_credential(name.as_str()) || storing.credentials.contains(name)
}

/// What tells callers apart beside the principal: a digest of the credentials that they sent, and of whatever else of their
/// fields plugins have changed, for nobody can say what became of that. Not what the plugin that named the principal took
/// off itself: the name stands for it, and stays when a token is renewed. `None` where there is nothing.
pub fn caller(asked: &RequestHead, readers: Readers<'_>, storing: &Storing) -> Option<[u8; 32]> {
    let named = matches!(readers, Readers::Principal(_));
    if readers == Readers::All {
        return None;
    }
    let covered = |by: usize| named && asked.edits.principal_by == Some(by);
    // A caller without a name whose credentials are kept apart by nothing gets what the upstream marked as public.
    let counts = |name: &HeaderName| named || !carries_credentials(name, storing);
    let taken = asked.field_edits().iter().filter(|edit| !edit.sent.is_empty() && !covered(edit.by));
    let mut fields: Vec<(&HeaderName, Vec<&HeaderValue>)> =
        taken.filter(|edit| counts(&edit.name)).map(|edit| (&edit.name, edit.sent.iter().collect())).collect();
    if named {
        let there = asked.headers.keys().filter(|name| !asked.was_edited(name) && carries_credentials(name, storing));
        fields.extend(there.map(|name| (name, asked.headers.get_all(name).collect())));
    }
    if fields.is_empty() {
        return None;
    }
    fields.sort_by_key(|(name, _)| name.as_str());
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, values) in fields {
        // Lengths in front: no part can pose as the end of another.
        context.update(format!("{};{}{};", name.as_str().len(), name, values.len()).as_bytes());
        for value in values {
            context.update(format!("{};", value.len()).as_bytes());
            context.update(value.as_bytes());
        }
    }
    context.finish().as_ref().try_into().ok()
}

/// How long a response says that it is fresh (RFC 9111 section 4.2.1); `None` where it doesn't.
fn lifetime(response: &FieldMap) -> Option<Duration> {
    let said = ["s-maxage", "max-age"].iter().find(|name| has(response, name));
    if let Some(name) = said {
        // One that can't be read is as good as none (RFC 9111 section 4.2.1: stale).
        return Some(Duration::from_secs(seconds(response, name).unwrap_or(0)));
    }
    let date = |name| httpdate::parse_http_date(response.get(name)?.to_str().ok()?).ok();
    response.contains_key(EXPIRES).then(|| {
        let from = date(DATE).unwrap_or_else(std::time::SystemTime::now);
        date(EXPIRES).and_then(|end| end.duration_since(from).ok()).unwrap_or_default()
    })
}

/// Directives of all Cache-Control fields, without their arguments' quotes.
fn directives(headers: &FieldMap) -> impl Iterator<Item = (&str, Option<&str>)> {
    // A quoted argument may hold commas: its pieces then look like directives, which can only make this stricter.
    headers.get_all(CACHE_CONTROL).flat_map(|value| value.to_str().unwrap_or("no-store").split(',')).map(|directive| {
        match directive.split_once('=') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"'))),
            None => (directive.trim(), None),
        }
    })
}

fn has(headers: &FieldMap, name: &str) -> bool {
    directives(headers).any(|(directive, _)| directive.eq_ignore_ascii_case(name))
}

fn seconds(headers: &FieldMap, name: &str) -> Option<u64> {
    delta_seconds(directives(headers).find(|(directive, _)| directive.eq_ignore_ascii_case(name))?.1?)
}

pub(super) fn age(headers: &FieldMap) -> Duration {
    let seconds = headers.get(AGE).and_then(|value| value.to_str().ok()).and_then(|value| delta_seconds(value.trim()));
    Duration::from_secs(seconds.unwrap_or(0))
}

/// RFC 9111 section 1.2.2: a value greater than what can be held counts as 2^31 or the greatest that can be.
fn delta_seconds(text: &str) -> Option<u64> {
    const MOST: u64 = 1 << 31;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().map_or(MOST, |seconds: u64| seconds.min(MOST)))
}

/// The names in Vary; `None` where it is `*` or unusable.
pub(super) fn vary(response: &FieldMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in response.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = if name == "*" { return None } else { HeaderName::try_from(name).ok()? };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    (names.len() <= MAX_VARY).then_some(names)
}
