//! What may be kept of an exchange, for whom and for how long, and what gives it out again: RFC 9111 section 3, read
//! strictly.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;

use crate::class::is_credential;
use crate::fields::{Fields, is_token, text};
use crate::key::hex;

/// Largest body that is kept.
pub const MAX_BODY: usize = 1 << 20;
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

impl<'a> Readers<'a> {
    /// Who they are: by what the operator says, and by the exchange's principal.
    pub fn of(shared: bool, principal: Option<&'a str>) -> Self {
        match principal {
            _ if shared => Self::All,
            Some(principal) => Self::Principal(principal),
            None => Self::Unnamed,
        }
    }
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

/// A request as the client sent it, and what plugins changed of it: they may have taken its credentials off, changed its
/// method, or its fields.
pub trait Request {
    /// The client asked with GET, and that is what was sent. What is sent upstream in place of another method is no GET of
    /// the client's, nor the other way round.
    fn is_get(&self) -> bool;
    /// The fields that are sent.
    fn fields(&self) -> &impl Fields;
    /// The fields that plugins changed.
    fn edits(&self) -> impl Iterator<Item = Edit<'_, impl Iterator<Item = &[u8]> + Clone>>;
    /// Whether the operator says that fields of this name carry credentials, beside those that do by their name.
    fn is_named_credential(&self, name: &str) -> bool;
}

/// What was changed of one name's fields.
#[derive(Clone, Debug)]
pub struct Edit<'a, V> {
    /// The name, in lower case.
    pub name: &'a str,
    /// The client's values.
    pub sent: V,
    /// Whether it was the plugin that named the principal which changed them first.
    pub by_namer: bool,
}

impl<'a, V: Iterator<Item = &'a [u8]> + Clone> Edit<'a, V> {
    fn took(&self) -> bool {
        self.sent.clone().next().is_some()
    }
}

fn was_edited(request: &impl Request, name: &str) -> bool {
    request.edits().any(|edit| edit.name == name)
}

/// How long a response may be kept, or why it may not. `ttl` is what the plugin asks for, `readers` who would get it;
/// `unmarked`: also what doesn't say that it may be used again.
///
/// # Errors
/// Why it may not be kept.
pub fn storable(
    request: &impl Request,
    (status, response): (u16, &impl Fields),
    (readers, unmarked): (Readers<'_>, bool),
    ttl: Duration,
    now: SystemTime,
) -> Result<Duration, Refusal> {
    if !request.is_get() {
        return Err(Refusal::Method);
    }
    if !matches!(status, 200 | 203 | 204 | 300 | 301 | 308) {
        return Err(Refusal::Status);
    }
    if contains(response, "content-range") {
        return Err(Refusal::Partial);
    }
    if contains(response, "set-cookie") {
        return Err(Refusal::SetCookie);
    }
    if has(request.fields(), "no-store") || ["no-store", "no-cache", "private"].iter().any(|name| has(response, name)) {
        return Err(Refusal::CacheControl);
    }
    // The next client's fields could not be compared with what this one sent.
    let changed = |name: &&str| request.edits().any(|edit| edit.name.eq_ignore_ascii_case(name));
    if vary(response).ok_or(Refusal::Vary)?.iter().any(changed) {
        return Err(Refusal::Vary);
    }
    let public = has(response, "public") || has(response, "s-maxage");
    if readers == Readers::Unnamed && !public && has_credentials(request) {
        return Err(Refusal::Credentials);
    }
    if readers != Readers::All {
        match lifetime(response, now) {
            Some(fresh) if fresh <= age(response) => return Err(Refusal::Stale),
            None if !public && !unmarked => return Err(Refusal::Unmarked),
            _ => {}
        }
    }
    // These forbid what this store is for, giving out stale responses (RFC 9111 sections 5.2.2.2, 5.2.2.8, 5.2.2.10).
    let strict = ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| has(response, name));
    let fresh = || lifetime(response, now).unwrap_or_default().saturating_sub(age(response));
    let ttl = if strict { ttl.min(fresh()) } else { ttl };
    if ttl.is_zero() { Err(Refusal::Stale) } else { Ok(ttl) }
}

/// Whether the client sent what it may be known by, still there or taken off by a plugin.
fn has_credentials(request: &impl Request) -> bool {
    let taken = request.edits().any(|edit| edit.took() && carries_credentials(request, edit.name));
    let there = |name: &str| !was_edited(request, name) && carries_credentials(request, name);
    taken || request.fields().names().any(there)
}

fn carries_credentials(request: &impl Request, name: &str) -> bool {
    is_credential(name) || request.is_named_credential(name)
}

/// What tells callers apart beside the principal: a digest of the credentials that they sent, and of whatever else of their
/// fields plugins have changed, for nobody can say what became of that. Not what the plugin that named the principal took
/// off itself: the name stands for it, and stays when a token is renewed. `None` where there is nothing.
pub fn caller(request: &impl Request, readers: Readers<'_>) -> Option<[u8; 32]> {
    let named = matches!(readers, Readers::Principal(_));
    if readers == Readers::All {
        return None;
    }
    let mut fields: Vec<(&str, Vec<&[u8]>)> = Vec::new();
    for edit in request.edits().filter(|edit| !(named && edit.by_namer) && edit.took()) {
        // A caller without a name whose credentials are kept apart by nothing gets what the upstream marked as public.
        if named || !carries_credentials(request, edit.name) {
            fields.push((edit.name, edit.sent.collect()));
        }
    }
    if named {
        let there = request.fields().names();
        let there = there.filter(|name| !was_edited(request, name) && carries_credentials(request, name));
        fields.extend(there.map(|name| (name, request.fields().values(name).collect())));
    }
    if fields.is_empty() {
        return None;
    }
    fields.sort_by_key(|(name, _)| *name);
    fields.dedup_by_key(|(name, _)| *name);
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, values) in fields {
        // Lengths in front: no part can pose as the end of another.
        context.update(format!("{};{}{};", name.len(), name, values.len()).as_bytes());
        for value in values {
            context.update(format!("{};", value.len()).as_bytes());
            context.update(value);
        }
    }
    context.finish().as_ref().try_into().ok()
}

/// What separates one stored response from another, besides Vary.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The route entry: its namespace, unique over plugins and routes.
    pub entry: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the client asked.
    pub authority: &'a str,
    /// Path and query as the client asked.
    pub target: &'a str,
    /// Who gets it. What was kept for all is not found any more where the operator takes that back.
    pub readers: Readers<'a>,
    /// What else tells callers apart; see [`caller`].
    pub caller: Option<[u8; 32]>,
    /// The plugin's own part.
    pub plugin: &'a str,
}

impl Key<'_> {
    /// All of it as one text.
    pub fn join(&self) -> Box<str> {
        // Lengths in front: no part can pose as the end of another.
        let readers = match self.readers {
            Readers::All => "*".to_owned(),
            Readers::Unnamed => "-".to_owned(),
            Readers::Principal(name) => format!("{}:{name}", name.len()),
        };
        let caller = self.caller.as_ref().map_or_else(String::new, |caller| hex(caller));
        let Self { entry, scheme, authority, target, plugin, .. } = self;
        let (entry_length, authority_length, target_length) = (entry.len(), authority.len(), target.len());
        format!(
            "{scheme};{entry_length}:{entry}{authority_length}:{authority}{target_length}:{target}{readers};{caller};{plugin}"
        )
        .into()
    }
}

/// Whether requests of this method are answered by what is kept. Conditional requests get the whole response.
pub fn answers(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// Whether a field that responses vary by tells stored ones apart. `identity`: the upstream was asked for `identity`, so
/// Accept-Encoding does not.
pub const fn tells_apart(name: &str, identity: bool) -> bool {
    !(identity && name.eq_ignore_ascii_case("accept-encoding"))
}

/// The text of Cache-Status (RFC 9211) for a stored response that may still be used for `left`. `forwarded`: the upstream
/// was asked first, and answered with this status or not at all. Section 2.1: a response is a hit only where the request "was
/// not forwarded".
pub fn cache_status(forwarded: Option<Option<u16>>, left: Duration) -> String {
    match forwarded {
        None => format!("gateway; hit; ttl={}", left.as_secs()),
        Some(None) => "gateway; fwd=stale".to_owned(),
        Some(Some(status)) => format!("gateway; fwd=stale; fwd-status={status}"),
    }
}

/// How long a response says that it is fresh (RFC 9111 section 4.2.1); `None` where it doesn't.
fn lifetime(response: &impl Fields, now: SystemTime) -> Option<Duration> {
    let said = ["s-maxage", "max-age"].iter().find(|name| has(response, name));
    if let Some(name) = said {
        // One that can't be read is as good as none (RFC 9111 section 4.2.1: stale).
        return Some(Duration::from_secs(seconds(response, name).unwrap_or(0)));
    }
    let date = |name| httpdate::parse_http_date(text(response.values(name).next()?)?).ok();
    contains(response, "expires").then(|| {
        let from = date("date").unwrap_or(now);
        date("expires").and_then(|end| end.duration_since(from).ok()).unwrap_or_default()
    })
}

fn contains(fields: &impl Fields, name: &str) -> bool {
    fields.values(name).next().is_some()
}

/// Directives of all Cache-Control fields, without their arguments' quotes.
fn directives(fields: &impl Fields) -> impl Iterator<Item = (&str, Option<&str>)> {
    // A quoted argument may hold commas: its pieces then look like directives, which can only make this stricter.
    fields.values("cache-control").flat_map(|value| text(value).unwrap_or("no-store").split(',')).map(|directive| {
        match directive.split_once('=') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"'))),
            None => (directive.trim(), None),
        }
    })
}

fn has(fields: &impl Fields, name: &str) -> bool {
    directives(fields).any(|(directive, _)| directive.eq_ignore_ascii_case(name))
}

fn seconds(fields: &impl Fields, name: &str) -> Option<u64> {
    delta_seconds(directives(fields).find(|(directive, _)| directive.eq_ignore_ascii_case(name))?.1?)
}

/// How old a response says that it is (RFC 9111 section 5.1).
pub fn age(response: &impl Fields) -> Duration {
    let seconds = response.values("age").next().and_then(text).and_then(|value| delta_seconds(value.trim()));
    Duration::from_secs(seconds.unwrap_or(0))
}

/// The length that a response says it has, where it says one that can be read.
pub fn length(response: &impl Fields) -> Option<usize> {
    response.values("content-length").next().and_then(text)?.parse().ok()
}

/// RFC 9111 section 1.2.2: a value greater than what can be held counts as 2^31 or the greatest that can be.
fn delta_seconds(text: &str) -> Option<u64> {
    const MOST: u64 = 1 << 31;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().map_or(MOST, |seconds: u64| seconds.min(MOST)))
}

/// The names in Vary, in the case that they came in, each once; `None` where it is `*` or unusable.
pub fn vary(response: &impl Fields) -> Option<Vec<&str>> {
    let mut names: Vec<&str> = Vec::new();
    for value in response.values("vary") {
        for name in text(value)?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "*" || !is_token(name) {
                return None;
            }
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name);
            }
        }
    }
    (names.len() <= MAX_VARY).then_some(names)
}
