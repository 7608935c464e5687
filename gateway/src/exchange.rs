//! One request and its response while they are in the gateway: the heads, where they belong, how long each step
//! took, and what plugins noted. The pipeline owns it; a plugin call borrows it by moving the box into the store.
//!
//! It is `Send` because wasmtime demands it of a store's data, not because it ever leaves its worker.

pub mod header_edits;
mod measures;
mod scratch;
mod shared;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use plugin_rules::audit;
use smallvec::SmallVec;

pub use self::measures::Measures;
pub use self::scratch::{PluginScratch, StoreRequest, StreamState};
pub use self::shared::{ExchangeGuard, SharedExchange};
use crate::error::{Error, Failure};
use crate::message::headers::{Hops, RequestId};
use crate::message::{FieldMap, FieldValue};
use crate::sanitize::PluginField;
use crate::sensitive::Sensitive;
use crate::trace::Trace;

/// The protocol version of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Protocol {
    /// As in the access log and in the plugin property `protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
        }
    }
}

/// What is known of a connection before its first request; shared by its requests.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The name of the listener that accepted it.
    pub listener: Arc<str>,
    /// The other end of the socket.
    pub peer: Sensitive<SocketAddr>,
    /// Its address as forwarding fields write it: the same for every request.
    pub peer_value: Sensitive<HeaderValue>,
    /// This end of the socket.
    pub local: SocketAddr,
    /// Whether the connection is encrypted (TLS or QUIC).
    pub tls: bool,
    /// The name that the client asked for in its TLS handshake, in lower case.
    pub sni: Option<Sensitive<Arc<str>>>,
    /// The HTTP version spoken on it.
    pub protocol: Protocol,
    /// The listener's limit on the number of header fields, for protocols whose library does not enforce it.
    pub max_fields: usize,
    /// The listener's limit on the bytes of a head, for protocols whose library is given a larger one.
    pub max_head: usize,
    /// The listener's limit on how long the client may stall while it sends a body.
    pub body_timeout: Duration,
}

impl ConnectionInfo {
    /// One from this machine.
    pub(crate) fn local(protocol: Protocol) -> Arc<Self> {
        Arc::new(Self {
            listener: "public".into(),
            peer: Sensitive::new(([127, 0, 0, 1], 1).into()),
            peer_value: HeaderValue::from_static("127.0.0.1").into(),
            local: ([127, 0, 0, 1], 2).into(),
            tls: true,
            sni: None,
            protocol,
            max_fields: 100,
            max_head: 65536,
            body_timeout: Duration::from_secs(60),
        })
    }
}

/// The head of a request, in canonical form, and its trailers once they have come.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Sensitive<Method>,
    /// `http` or `https`, as the client sees it: where a trusted proxy in front ended TLS, what that proxy says.
    pub scheme: &'static str,
    /// Host and port as the client asked for them, lower case, validated. Forwarded as Host or `:authority`.
    pub authority: Sensitive<String>,
    /// The normalised path, and the query as it came: what is routed is what is forwarded.
    pub path_and_query: Sensitive<PathAndQuery>,
    /// Header fields without hop-by-hop fields and without Host.
    pub headers: FieldMap,
    /// Set when the body ended with trailers.
    pub trailers: Option<FieldMap>,
    /// Whether header changes still reach the upstream.
    pub sent: bool,
    /// What plugins changed.
    pub edits: Edits,
}

type Asked = (Sensitive<Method>, Sensitive<String>, Sensitive<PathAndQuery>);

/// What was changed of a request's head. Filled only where something was, so it costs nothing elsewhere.
#[derive(Debug, Default)]
pub struct Edits {
    /// Method, authority, and path with query as the client asked, once one of them was changed.
    asked: Option<Box<Asked>>,
    /// Fields that plugins set, added or removed.
    fields: SmallVec<[FieldEdit; 2]>,
    /// Names that the client's Connection field lists: no trailer may bring them either.
    pub listed: Sensitive<Vec<HeaderName>>,
    /// Whether the head has names that some servers take for others (`x_user`).
    pub odd_names: bool,
    /// The place in the chain of the plugin that named the principal last.
    pub principal_by: Option<usize>,
}

impl Edits {
    /// Of a request that has come, with what it says of names: those that its Connection field lists, and whether there are
    /// odd ones.
    pub fn of(listed: Sensitive<Vec<HeaderName>>, odd_names: bool) -> Self {
        Self { listed, odd_names, ..Self::default() }
    }
}

/// A field that plugins changed.
#[derive(Clone, Debug)]
pub struct FieldEdit {
    /// Its name.
    pub name: Sensitive<HeaderName>,
    /// The place in the chain of the plugin that changed it first.
    pub by: usize,
    /// The client's values.
    pub sent: Sensitive<Vec<HeaderValue>>,
}

impl RequestHead {
    /// A head as it has come: nothing of it is changed or sent yet.
    pub fn new(
        method: Method,
        scheme: &'static str,
        authority: String,
        path_and_query: PathAndQuery,
        headers: FieldMap,
    ) -> Self {
        Self {
            method: method.into(),
            scheme,
            authority: authority.into(),
            path_and_query: path_and_query.into(),
            headers,
            trailers: None,
            sent: false,
            edits: Edits::default(),
        }
    }

    /// The path without the query.
    pub fn path(&self) -> Sensitive<&str> {
        self.path_and_query.as_ref().map(PathAndQuery::path)
    }

    /// Changes method, authority, or path with query, and remembers what the client had asked for.
    pub fn retarget(
        &mut self,
        method: Option<Method>,
        authority: Option<String>,
        path_and_query: Option<PathAndQuery>,
    ) {
        if self.edits.asked.is_none() {
            let asked = (self.method.clone(), self.authority.clone(), self.path_and_query.clone());
            self.edits.asked = Some(Box::new(asked));
        }
        self.method = method.map_or_else(|| std::mem::take(&mut self.method), Sensitive::new);
        self.authority = authority.map_or_else(|| std::mem::take(&mut self.authority), Sensitive::new);
        if let Some(path_and_query) = path_and_query {
            self.path_and_query = path_and_query.into();
        }
    }

    /// The method that the client used.
    pub fn asked_method(&self) -> &Sensitive<Method> {
        self.edits.asked.as_ref().map_or(&self.method, |asked| &asked.0)
    }

    /// Authority, and path with query, that the client asked for.
    pub fn asked_target(&self) -> (Sensitive<&str>, Sensitive<&str>) {
        let asked = self.edits.asked.as_ref();
        let (authority, target) = asked.map_or((&self.authority, &self.path_and_query), |asked| (&asked.1, &asked.2));
        (authority.as_deref(), target.as_ref().map(PathAndQuery::as_str))
    }

    /// Remembers the client's fields of this name, before the plugin at this place of the chain changes them.
    pub fn edited(&mut self, name: &HeaderName, by: usize) {
        if !self.was_edited(name) {
            let sent: Vec<_> = self.headers.get_all(name).map(FieldValue::to_header_value).collect();
            self.edits.fields.push(FieldEdit { name: name.clone().into(), by, sent: sent.into() });
        }
    }

    /// Whether a plugin changed the fields of this name.
    pub fn was_edited(&self, name: &HeaderName) -> bool {
        self.edits.fields.iter().any(|edit| edit.name.expose() == name)
    }

    /// What plugins changed.
    pub fn field_edits(&self) -> &[FieldEdit] {
        &self.edits.fields
    }

    /// Names that trailers must not bring: they were taken off this head, or set in the client's place.
    pub fn barred(&self) -> impl Iterator<Item = &HeaderName> {
        self.edits.listed.expose().iter().chain(self.edits.fields.iter().map(|edit| edit.name.expose()))
    }

    /// The query without the question mark.
    pub fn query(&self) -> Option<Sensitive<&str>> {
        self.path_and_query.expose().query().map(Sensitive::new)
    }
}

/// The head of the response as it will go to the client, and its trailers.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: FieldMap,
    /// Set when the body ended with trailers.
    pub trailers: Option<FieldMap>,
    /// Whether the head has gone to the client.
    pub sent: bool,
    /// Names that trailers must not bring: plugins set or removed them here, or the upstream's Connection field lists them.
    pub barred: Sensitive<Vec<HeaderName>>,
}

impl ResponseHead {
    /// A head that has not gone out yet.
    pub fn new(status: StatusCode, headers: FieldMap) -> Self {
        Self { status, headers, trailers: None, sent: false, barred: Sensitive::default() }
    }
}

/// Where the response came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseSource {
    /// Nothing yet.
    #[default]
    None,
    /// The upstream.
    Upstream,
    /// A route's redirect or fixed response.
    Route,
    /// The plugin at this place of the chain.
    Plugin(usize),
    /// A stored response, given out by the plugin at this place of the chain.
    Stored(usize),
    /// The gateway's own error.
    Gateway,
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request id: the client's, when it is trusted, or a new one.
    pub id: RequestId,
    /// When the head of the request had been read.
    pub started: Instant,
    /// The connection it came over.
    pub connection: Arc<ConnectionInfo>,
    /// The client's address: the peer's, or the one that a trusted proxy in front reports.
    pub client: Sensitive<IpAddr>,
    /// The request.
    pub request: RequestHead,
    /// The response, once there is one.
    pub response: Option<ResponseHead>,
    /// Where it came from.
    pub source: ResponseSource,
    /// The name of the matched route.
    pub route: Option<Arc<str>>,
    /// The name of the chosen upstream; a plugin may change it among its granted ones until the request is sent.
    pub upstream: Option<Arc<str>>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<SocketAddr>,
    /// Why there is no response from the upstream, or why the exchange was given up.
    pub failure: Option<Failure>,
    /// The error behind it, for the log.
    pub error: Option<Error>,
    /// `set-attribute`: shared with plugins that are called later. `principal` names the caller.
    pub attributes: Vec<(Sensitive<String>, Sensitive<String>)>,
    /// `set-log-field`: the fields that plugins added to the access log; `None` removes one.
    pub log_fields: Vec<PluginField>,
    /// Per plugin of the chain, as far as one has something there.
    pub scratch: Vec<PluginScratch>,
    /// Times and sizes.
    pub measures: Measures,
    /// How often the request was here before.
    pub hops: Hops,
    /// Its place in a trace, where traces are configured.
    pub trace: Option<Trace>,
    /// `audit.note`: personal data that plugins saw.
    pub audit_notes: audit::Notes,
}

impl Exchange {
    /// Of a request whose head has just been read.
    pub fn new(id: RequestId, connection: Arc<ConnectionInfo>, client: IpAddr, request: RequestHead) -> Self {
        Self::of(Instant::now(), id, connection, client.into(), request)
    }

    /// Of a request whose head had been read at this moment.
    pub fn of(
        started: Instant,
        id: RequestId,
        connection: Arc<ConnectionInfo>,
        client: Sensitive<IpAddr>,
        request: RequestHead,
    ) -> Self {
        Self {
            id,
            started,
            connection,
            client,
            request,
            response: None,
            source: ResponseSource::None,
            route: None,
            upstream: None,
            endpoint: None,
            failure: None,
            error: None,
            attributes: Vec::new(),
            log_fields: Vec::new(),
            scratch: Vec::new(),
            measures: Measures::default(),
            hops: Hops::default(),
            trace: None,
            audit_notes: audit::Notes::default(),
        }
    }

    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<Sensitive<&str>> {
        self.attributes.iter().find(|(key, _)| key.expose() == name).map(|(_, value)| value.as_deref())
    }

    /// Sets or replaces an attribute.
    pub fn set_attribute(&mut self, name: &str, value: String) {
        match self.attributes.iter_mut().find(|(key, _)| key.expose() == name) {
            Some((_, slot)) => *slot = value.into(),
            None => self.attributes.push((name.to_owned().into(), value.into())),
        }
    }

    /// What is kept for the plugin at this place of the chain.
    pub fn scratch_of(&mut self, index: usize) -> &mut PluginScratch {
        if self.scratch.len() <= index {
            self.scratch.resize_with(index + 1, Default::default);
        }
        &mut self.scratch[index]
    }

    /// Takes the values out of what plugins added to the access log. The fields stay, so that it can be seen.
    pub fn mask_log_fields(&mut self) {
        self.log_fields.iter_mut().for_each(PluginField::mask);
    }

    /// The caller, where an auth plugin has named one. An empty name is none: it would be everybody's.
    pub fn principal(&self) -> Option<Sensitive<&str>> {
        self.attribute("principal").filter(|name| !name.expose().is_empty())
    }
}
