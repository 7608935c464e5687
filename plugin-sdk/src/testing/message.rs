//! Messages that a test sends and gets.

use super::notes::RECORDED;
use crate::Failure;
use crate::trace::TraceContext;

pub(super) type FieldList = Vec<(String, Vec<u8>)>;

fn find<'a>(fields: &'a FieldList, name: &str) -> Option<&'a str> {
    let (_, value) = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// A request from the client.
#[derive(Clone, Debug)]
pub struct TestRequest {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) target: String,
    pub(super) headers: FieldList,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) trailers: FieldList,
    pub(super) properties: Vec<(String, String)>,
    pub(super) log_fields: Vec<(String, String)>,
    pub(super) trace: Option<TraceContext>,
}

impl TestRequest {
    /// A request to `https://example.test` from 192.0.2.1.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: "example.test".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            chunks: Vec::new(),
            trailers: Vec::new(),
            properties: vec![
                ("client.address".to_owned(), "192.0.2.1".to_owned()),
                ("route.name".to_owned(), "test".to_owned()),
                ("upstream.name".to_owned(), "test".to_owned()),
                ("request.id".to_owned(), "test-request".to_owned()),
                ("protocol".to_owned(), "http1".to_owned()),
                ("listener.name".to_owned(), "test".to_owned()),
                ("connection.peer".to_owned(), "192.0.2.1:50000".to_owned()),
            ],
            log_fields: Vec::new(),
            trace: None,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the body, in one chunk that is handed over with `end`, as where its length is told.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        self
    }

    /// Sets the body, in these chunks. Its end comes in a call of its own behind them, with no bytes, as where its length is
    /// not told: a plugin that reads chunks must do with both, so test it with [`Self::body`] as well.
    #[must_use]
    pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        if self.chunks.last().is_some_and(|last| !last.is_empty()) {
            self.chunks.push(Vec::new());
        }
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the authority.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client(self, address: &str) -> Self {
        self.property("client.address", address)
    }

    /// Sets a property, for example `attribute.principal` as an earlier plugin would have.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.retain(|(key, _)| key != name);
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a field of the log record, as an earlier plugin would have.
    #[must_use]
    pub fn log_field(mut self, name: &str, value: &str) -> Self {
        self.log_fields.retain(|(key, _)| key != name);
        self.log_fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes it part of a trace that is sampled and recorded. Otherwise there is none, as at a gateway without traces, and what a
    /// plugin adds is forgotten.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.trace = Some(RECORDED);
        self
    }
}

/// A response of an upstream.
#[derive(Clone, Debug)]
pub struct TestResponse {
    pub(crate) status: u16,
    pub(crate) headers: FieldList,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(super) trailers: FieldList,
    pub(super) cut: Option<Failure>,
}

impl TestResponse {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), chunks: Vec::new(), trailers: Vec::new(), cut: None }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the body, in one chunk that is handed over with `end`, as where its length is told.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        self
    }

    /// Sets the body, in these chunks. Its end comes in a call of its own behind them, with no bytes, as where its length is
    /// not told: a plugin that reads chunks must do with both, so test it with [`Self::body`] as well.
    #[must_use]
    pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        if self.chunks.last().is_some_and(|last| !last.is_empty()) {
            self.chunks.push(Vec::new());
        }
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.trailers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The upstream fails after these chunks, in the middle of the body; [`Failure::Cancelled`]: the client leaves there.
    #[must_use]
    pub fn cut(mut self, failure: Failure) -> Self {
        self.cut = Some(failure);
        self
    }
}

/// A request as the upstream gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The method.
    pub method: String,
    /// The authority.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// The upstream's name.
    pub upstream: String,
    /// The fields, names in lower case.
    pub headers: FieldList,
    /// The body as it was sent on: a chunk per call that let bytes out.
    pub chunks: Vec<Vec<u8>>,
    /// The trailers.
    pub trailers: FieldList,
    /// The plugin aborted the body: the upstream knows that this isn't all.
    pub aborted: bool,
}

impl Forwarded {
    /// The first value of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// A response as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientResponse {
    /// The status.
    pub status: u16,
    /// The fields, names in lower case.
    pub headers: FieldList,
    /// The body as it was sent on: a chunk per call that let bytes out.
    pub chunks: Vec<Vec<u8>>,
    /// The trailers.
    pub trailers: FieldList,
    /// The stream was reset: the client knows that this isn't all.
    pub aborted: bool,
}

impl ClientResponse {
    /// The first value of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The whole body.
    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// The whole body as text; what isn't UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }
}
