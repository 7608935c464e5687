//! The request as an upstream gets it: target form, Host or `:authority`, and framing made anew.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use super::connection::http1::Upload;
use super::connection::{Returned, WatchedBody};
use super::endpoint::Endpoint;
use super::replay::ReplayableBody;
use super::service::Upstream;
use crate::error::{Error, ErrorKind};
use crate::http1::{BodyLength, Outgoing, request_line, write_fields};
use crate::message::{Body, FieldMap, Interim, known};
use crate::model::UpstreamHost;
use crate::trace::Onward;

/// A request to send.
pub struct Outbound<'a> {
    /// The method.
    pub method: Method,
    /// Host and port as the client asked for them, used where the upstream says `host: preserve`. Without a client, the
    /// endpoint's own name stands in.
    pub authority: Option<&'a str>,
    /// The target in origin form.
    pub path_and_query: PathAndQuery,
    /// Header fields without hop-by-hop fields (RFC 9110 section 7.6.1) and without Host.
    pub headers: FieldMap,
    /// The body.
    pub body: Body,
    /// Requests with the same key go to the same endpoint, where the balancing policy keeps to it.
    pub key: Option<u64>,
    /// Where responses before the response go.
    pub interim: Interim,
    /// The trace that it belongs to, which each try is told anew.
    pub trace: Option<Onward>,
}

/// A request that can be put into the form of either protocol, and be sent again within the bound of its body.
pub(super) struct UpstreamRequest<'a> {
    pub(super) method: Method,
    authority: Option<&'a str>,
    target: PathAndQuery,
    headers: FieldMap,
    body: ReplayableBody,
    pub(super) interim: Interim,
    /// Whether it may have to be sent again.
    kept: bool,
    trace: Option<Onward>,
}

/// What requests to an endpoint are addressed to where the client's own name does not go on. A worker has a copy of its
/// own: every request counts its references.
pub(super) struct Addressee {
    pub(super) host: HeaderValue,
    pub(super) authority: Authority,
}

impl Addressee {
    pub(super) fn new(upstream: &Upstream, endpoint: &Endpoint) -> Self {
        let (host, authority) = match (&upstream.config.host, &upstream.authority) {
            (UpstreamHost::Name(name), Some(authority)) => (name, authority),
            _ => (&endpoint.names.host, &endpoint.names.authority),
        };
        // What has been a value or an authority is one again.
        Self {
            host: HeaderValue::from_bytes(host.as_bytes()).unwrap_or_else(|_| host.clone()),
            authority: Authority::try_from(authority.as_str()).unwrap_or_else(|_| authority.clone()),
        }
    }
}

impl<'a> UpstreamRequest<'a> {
    pub(super) fn new(outbound: Outbound<'a>) -> Self {
        let Outbound { method, authority, path_and_query: target, mut headers, body, interim, key: _, trace } =
            outbound;
        frame(&mut headers, &method, &body);
        Self { method, authority, target, headers, body: ReplayableBody::new(body), interim, kept: false, trace }
    }

    /// Makes it tell of its place in the trace: that of the try with this number.
    pub(super) fn tell_trace(&mut self, attempt: u32) {
        if let Some(trace) = &self.trace {
            trace.write(attempt, &mut self.headers);
        }
    }

    /// Keeps what sending it again needs, where its body can be kept.
    pub(super) fn keep(&mut self) {
        self.kept = self.body.keep();
    }

    /// Makes it whole again after a try, from what came back unsent or from what was kept. `false`: it can't be sent
    /// again.
    pub(super) fn restore(&mut self, returned: Option<Returned>) -> bool {
        match returned {
            Some(Returned::Request(request)) => {
                let (head, body) = request.into_parts();
                if !self.kept {
                    self.headers = head.headers.into();
                }
                self.body.put_back(body.into_inner());
            }
            Some(Returned::Body(body)) => self.body.put_back(body.into_inner()),
            None => return self.body.rewind(),
        }
        frame(&mut self.headers, &self.method, self.body.next());
        true
    }

    /// Writes the head for HTTP/1.1: origin form and Host (RFC 9112 section 3.2). Gives the body, which is to follow.
    pub(super) fn http1(
        &mut self,
        upstream: &Upstream,
        addressee: &Addressee,
        outgoing: &mut Outgoing,
    ) -> Result<Upload, Error> {
        let host = match (&upstream.config.host, self.authority) {
            (UpstreamHost::Preserve, Some(authority)) => {
                // It is canonical. Should it not be, it splits no head.
                if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Error::new(ErrorKind::Internal, "the authority is not a header value"));
                }
                authority.as_bytes()
            }
            (UpstreamHost::Preserve, None) | (UpstreamHost::Endpoint | UpstreamHost::Name(_), _) => {
                addressee.host.as_bytes()
            }
        };
        let body = self.body.take();
        let length = match (body.is_end_stream(), content_length(&self.headers)) {
            (true, _) => BodyLength::Exact(0),
            // The connection holds the body to what is stated.
            (false, Some(Some(stated))) => BodyLength::Exact(stated),
            (false, _) => BodyLength::Chunked,
        };
        outgoing.write(|out| {
            request_line(out, &self.method, self.target.as_str());
            out.extend_from_slice(b"host: ");
            out.extend_from_slice(host);
            out.extend_from_slice(b"\r\n");
            write_fields(out, &self.headers);
            if self.headers.contains_key(known::TE) {
                // RFC 9110 section 10.1.4: TE is of this hop, and Connection says so.
                out.extend_from_slice(b"connection: te\r\n");
            }
            if length == BodyLength::Chunked {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            out.extend_from_slice(b"\r\n");
        });
        Ok(Upload::new(WatchedBody::new(body), length, &self.headers))
    }

    /// For HTTP/2: pseudo-header fields, no Host (RFC 9113 section 8.3.1).
    pub(super) fn http2(&mut self, upstream: &Upstream, addressee: &Addressee) -> Result<Request<WatchedBody>, Error> {
        let authority = match (&upstream.config.host, self.authority) {
            (UpstreamHost::Preserve, Some(authority)) => Authority::try_from(authority)
                .map_err(|_| Error::new(ErrorKind::Internal, "the authority is not a host and port"))?,
            (UpstreamHost::Preserve, None) | (UpstreamHost::Endpoint | UpstreamHost::Name(_), _) => {
                addressee.authority.clone()
            }
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if upstream.config.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query = Some(self.target.clone());
        let uri = Uri::from_parts(parts)
            .map_err(|_| Error::new(ErrorKind::Internal, "the target is not a URI for HTTP/2"))?;
        let mut headers = if self.kept { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        // gRPC servers insist on it, and it is ours to say: TE is hop by hop.
        if headers.get(known::CONTENT_TYPE).is_some_and(|value| value.expose().starts_with(b"application/grpc")) {
            headers.insert(known::TE, HeaderValue::from_static("trailers"));
        }
        let mut request = Request::new(WatchedBody::on_a_stream(self.body.take()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers.into_map();
        Ok(request)
    }
}

/// Makes the framing fields say what the body is (RFC 9112 section 6): never two ways, never a length that is not
/// the body's.
fn frame(headers: &mut FieldMap, method: &Method, body: &Body) {
    headers.remove(known::TRANSFER_ENCODING);
    let stated = content_length(headers);
    if body.is_end_stream() {
        match stated {
            Some(Some(0)) => {}
            // RFC 9110 section 8.6: a method that anticipates content says when there is none.
            _ if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
                headers.insert(known::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Some(_) => {
                headers.remove(known::CONTENT_LENGTH);
            }
            None => {}
        }
        return;
    }
    match (body.size_hint().exact(), stated) {
        (Some(length), Some(Some(stated))) if length == stated => {}
        (Some(length), _) => {
            headers.insert(known::CONTENT_LENGTH, HeaderValue::from(length));
        }
        // The connection holds the body to what is stated.
        (None, Some(Some(_)) | None) => {}
        (None, Some(None)) => {
            headers.remove(known::CONTENT_LENGTH);
        }
    }
}

/// The stated length: `None` without the field, `Some(None)` when it is not one plain number.
fn content_length(headers: &FieldMap) -> Option<Option<u64>> {
    let mut values = headers.get_all(&known::CONTENT_LENGTH);
    let first = values.next()?;
    let digits = first.expose_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    Some(digits.and_then(|text| text.parse().ok()).filter(|_| values.next().is_none()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

    use super::*;

    fn framed(method: Method, fields: &[(HeaderName, &'static str)], body: Body) -> FieldMap {
        let mut headers = FieldMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        frame(&mut headers, &method, &body);
        headers
    }

    #[test]
    fn framing_follows_the_body() {
        assert!(framed(Method::GET, &[(CONTENT_LENGTH, "5")], Body::empty()).is_empty());
        assert!(framed(Method::GET, &[(TRANSFER_ENCODING, "chunked")], Body::empty()).is_empty());
        assert_eq!(framed(Method::POST, &[], Body::empty()).text(CONTENT_LENGTH), "0");
        assert_eq!(framed(Method::DELETE, &[(CONTENT_LENGTH, "0")], Body::empty()).text(CONTENT_LENGTH), "0");
        let both = [(CONTENT_LENGTH, "9"), (TRANSFER_ENCODING, "chunked")];
        let headers = framed(Method::POST, &both, Body::full("abc"));
        assert_eq!(headers.text(CONTENT_LENGTH), "3");
        assert_eq!(headers.len(), 1);
        let twice = [(CONTENT_LENGTH, "3"), (CONTENT_LENGTH, "4")];
        assert_eq!(framed(Method::POST, &twice, Body::full("abc")).get_all(&CONTENT_LENGTH).count(), 1);
    }
}
