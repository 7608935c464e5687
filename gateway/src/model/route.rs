//! The `routes` section: conditions, a chain, and where matching requests go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::RouteLog;
use super::plugin::PluginEntry;
use super::template::Template;
use super::tracing::RouteTracing;

/// A route: conditions, a chain, and where matching requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// When it applies.
    pub matches: RouteMatch,
    /// The chain, in order.
    pub plugins: Vec<PluginEntry>,
    /// What answers.
    pub action: RouteAction,
    /// Replaces the matched prefix of the path before it goes upstream.
    pub rewrite_prefix: Option<String>,
    /// Static changes of request headers.
    pub request_headers: HeaderEdits,
    /// Static changes of response headers.
    pub response_headers: HeaderEdits,
    /// What an exchange may take.
    pub limits: RouteLimits,
    /// Which of its exchanges are logged.
    pub access_log: RouteLog,
    /// Whether and when its exchanges are traced.
    pub tracing: RouteTracing,
    /// What its records in the audit trail say of it; `None` where it has none.
    pub audit: Option<Arc<::audit::record::Route>>,
}

/// The `timeouts` and `limits` of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// Time limit of the whole exchange, until the response's head; `None` = no limit. Default 60 s.
    pub request_timeout: Option<Duration>,
    /// Largest request body, as it comes and decoded; also the bound of a body that a plugin wants whole. Default 10 MiB.
    pub max_body: u64,
    /// What an encoded body that plugins read may become, as a multiple of what came. Default 100.
    pub decoded_ratio: u32,
}

/// Conditions of a route: all must hold.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// `http` or `https`, how the client came; `None` = both.
    pub scheme: Option<&'static str>,
    /// Any of these; empty = every hostname. Lower case.
    pub hostnames: Vec<HostnameMatch>,
    /// The path.
    pub path: PathMatch,
    /// Any of these; empty = every method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<(HeaderName, ValueMatch)>,
    /// All of these query parameters.
    pub query: Vec<(String, ValueMatch)>,
}

impl PartialEq for RouteMatch {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// A hostname condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostnameMatch {
    /// Exactly this name.
    Exact(String),
    /// `*.example.no`, kept as `example.no`: one or more labels in front.
    Wildcard(String),
}

/// A path condition, on the normalised path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// This path or anything below it, on segment borders; `/` matches all.
    Prefix(String),
    /// A regular expression, anchored at both ends.
    Regex(regex::Regex),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Any value.
    Present,
    /// Exactly this value.
    Exact(String),
    /// A regular expression, anchored at both ends.
    Regex(regex::Regex),
}

/// What answers a route's requests.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// A redirect.
    Redirect(Redirect),
    /// A fixed response.
    Respond(FixedResponse),
}

/// A redirect: what is `None` stays as it is in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The hostname.
    pub hostname: Option<String>,
    /// The port; a changed scheme without a port uses the scheme's own.
    pub port: Option<u16>,
    /// The whole path; the query stays.
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: StatusCode,
}

/// A response from the config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`; default `text/plain; charset=utf-8`.
    pub content_type: HeaderValue,
    /// The body; its clones share the bytes.
    pub body: Bytes,
}

/// A route's header changes: removals first, then values that replace what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields to remove.
    pub remove: Vec<HeaderName>,
    /// Fields to set to the same value in every message.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields whose values are made per request.
    pub computed: Vec<(HeaderName, Template)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.computed.is_empty()
    }

    /// The names of the fields that are changed.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let set = self.set.iter().map(|(name, _)| name);
        self.remove.iter().chain(set).chain(self.computed.iter().map(|(name, _)| name))
    }
}
