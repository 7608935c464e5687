//! Bodies by POST over HTTP/1.1.

use std::io::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::route::{Route, USER_AGENT as OURS};
use super::signal::Signal;
use crate::answer::{MAX_ANSWER, rejected, retry_after};
use crate::failure::Failure;
use crate::settings::{Compression, Protocol};

/// Where spans go in Zipkin, unless the endpoint has a path.
const ZIPKIN_PATH: &str = "/api/v2/spans";

/// How long a connection is kept for the next request.
const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

/// A collector that is POSTed to.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<Connector, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
    answers_by_protobuf: bool,
}

impl Http {
    pub(super) fn new(route: &Route, signal: Signal) -> Self {
        let settings = route.settings();
        let is_zipkin = settings.protocol == Protocol::Zipkin;
        let suffix = match (is_zipkin, settings.endpoint.path()) {
            (false, _) => signal.path(),
            (true, "") => ZIPKIN_PATH,
            (true, _) => "",
        };
        let mut headers = HeaderMap::new();
        for header in &settings.headers {
            headers.append(header.name.clone(), header.value.clone());
        }
        let media_type = if is_zipkin { "application/json" } else { "application/x-protobuf" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(OURS));
        if settings.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(route.connector.clone());
        Self {
            client,
            uri: route.endpoint().join(suffix),
            headers,
            compression: settings.compression,
            answers_by_protobuf: !is_zipkin,
        }
    }

    /// The body as it is sent. Compressed once, however often it is tried.
    pub(super) fn prepare(&self, body: Vec<u8>) -> Bytes {
        match self.compression {
            Compression::None => body.into(),
            Compression::Gzip => gzip(&body).into(),
        }
    }

    pub(super) async fn send(&mut self, body: Bytes) -> Result<u64, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        let response = self.client.request(request).await.map_err(|error| Failure::of(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        if !head.status.is_success() {
            let asked = head.headers.get(RETRY_AFTER);
            let retry_after = asked.and_then(|value| retry_after(value.as_bytes(), SystemTime::now()));
            return Err(Failure::Status { status: head.status, retry_after });
        }
        // The status counts: what comes after it, be it too long or cut off, takes nothing back.
        let answer = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(if self.answers_by_protobuf { rejected(&answer) } else { 0 })
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    // A `Vec` takes everything.
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}
