//! Synthetic responses: errors as problem details (RFC 9457) with `Proxy-Status` (RFC 9209), redirects and fixed responses.
//!
//! A client learns the kind of an error and the request id, never the detail behind it.

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use plugin_rules::codings::READABLE;

use crate::error::{Error, ErrorKind};
use crate::exchange::RequestHead;
use crate::message::{Body, Response, content};
use crate::model::{FixedResponse, Redirect};
use crate::trace::TraceId;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What an operator finds an exchange by.
#[derive(Clone, Copy, Debug)]
pub struct KnownAs<'a> {
    /// The request id.
    pub request: &'a str,
    /// The trace, where there is one.
    pub trace: Option<TraceId>,
}

/// The response for an error. `via` is the gateway's name in `Proxy-Status`. HEAD is the caller's matter.
pub fn problem(kind: ErrorKind, request_is_grpc: bool, via: &str, known_as: KnownAs<'_>) -> Response {
    let mut response = if request_is_grpc { grpc(kind) } else { details(kind, known_as) };
    let headers = &mut response.fields;
    let mut error = format!("{}; error={}", item(via), kind.proxy_status());
    if kind.proxy_status() == "proxy_internal_response" {
        // Several kinds share this type; `details` tells them apart (RFC 9209 section 2.1.5).
        error = format!("{error}; details=\"{}\"", kind.name());
    }
    if let Ok(value) = HeaderValue::from_str(&error) {
        headers.insert(PROXY_STATUS, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if kind == ErrorKind::UnsupportedEncoding {
        // RFC 9110 section 15.5.16.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(READABLE));
    }
    if kind.is_passing() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn details(kind: ErrorKind, known_as: KnownAs<'_>) -> Response {
    let status = kind.status();
    // RFC 9457 section 4.2.1: with `about:blank` the title is the status's own phrase.
    let title = status.canonical_reason().unwrap_or("Error");
    let id = serde_json::Value::from(known_as.request);
    let trace = known_as.trace.map(|trace| format!(r#","trace_id":"{trace}""#)).unwrap_or_default();
    let body = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}","request_id":{id}{trace}}}"#,
        status.as_u16(),
        explanation(kind),
    );
    let mut response = Response::new(Body::full(body));
    response.status = status;
    response.fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// A gRPC client reads `grpc-status` of a response with status 200 and without body ("Trailers-Only").
fn grpc(kind: ErrorKind) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = &mut response.fields;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(grpc_status(kind.status())));
    // ASCII without percent signs, so that nothing needs the escapes of grpc-message.
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(explanation(kind)));
    response
}

/// gRPC's own table, `http-grpc-status-mapping.md`.
pub fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// What a client may know.
const fn explanation(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::BadRequest => "The request is malformed or ambiguous.",
        ErrorKind::HeadersTooLarge => "The request's header section is too large.",
        ErrorKind::RequestTimeout => "The request was not received in time.",
        ErrorKind::BodyTooLarge => "The request body is too large.",
        ErrorKind::UnsupportedEncoding => {
            "The request body's content coding is not supported here; gzip, deflate, br, zstd and identity are."
        }
        ErrorKind::NotImplemented => "The method or upgrade is not supported.",
        ErrorKind::ClientGone => "The request was not completed.",
        ErrorKind::NoRoute => "No route matches the request.",
        ErrorKind::Loop => "The request goes round in a loop.",
        ErrorKind::Overload | ErrorKind::BodyMemory | ErrorKind::PluginMemory => {
            "The gateway has no capacity for the request right now."
        }
        ErrorKind::UpstreamLimit => "The service has no capacity for the request right now.",
        ErrorKind::NoEndpoint => "The service is not available right now.",
        ErrorKind::Dns => "The service could not be found.",
        ErrorKind::Connect => "The service could not be reached.",
        ErrorKind::ConnectTimeout => "The service could not be reached in time.",
        ErrorKind::Tls => "No secure connection to the service could be made.",
        ErrorKind::ResponseTimeout => "The service did not answer in time.",
        ErrorKind::ExchangeTimeout => "The request took too long.",
        ErrorKind::Reset => "The service ended the exchange early.",
        ErrorKind::Protocol => "The service's response was invalid.",
        ErrorKind::EncodedResponse => "The service's response had an encoding that can't be read.",
        ErrorKind::ResponseHeadTooLarge => "The service's response had too many or too large header fields.",
        ErrorKind::ResponseTooLarge => "The service's response was too large.",
        ErrorKind::Plugin | ErrorKind::PluginAnswer | ErrorKind::PluginAbort => "The request could not be processed.",
        ErrorKind::Audit => "The request could not be recorded.",
        ErrorKind::Internal => "The gateway failed.",
    }
}

/// A structured-fields item (RFC 9651): a token where the name allows it, else a string.
fn item(name: &str) -> String {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'*');
    if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)) {
        return name.to_owned();
    }
    let visible = name.chars().filter(|char| matches!(char, ' '..='~'));
    let escaped: String =
        visible.flat_map(|char| matches!(char, '"' | '\\').then_some('\\').into_iter().chain([char])).collect();
    format!("\"{escaped}\"")
}

/// The redirect of a route: what it leaves open stays as in the request, and the query stays unless the path has one.
///
/// The location is absolute and made of canonical parts, so it can neither be split nor point to another site.
///
/// # Errors
/// Where neither the redirect nor the request (of HTTP/1.0) names a host.
pub fn redirect(redirect: &Redirect, request: &RequestHead) -> Result<Response, Error> {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme);
    let hostname = crate::message::normalize::hostname(request.authority.expose());
    if redirect.hostname.is_none() && hostname.is_empty() {
        // The gateway's own address is nobody's business, and a relative location can't change the scheme or the port.
        return Err(Error::new(ErrorKind::BadRequest, "a redirect of a request that names no host"));
    }
    let sent_port = request.authority.expose()[hostname.len()..].strip_prefix(':').and_then(|port| port.parse().ok());
    let port = redirect.port.or(if scheme == request.scheme { sent_port } else { None });
    let default_port = if scheme == "https" { 443 } else { 80 };
    let mut location = format!("{scheme}://{}", redirect.hostname.as_deref().unwrap_or(hostname));
    if let Some(port) = port.filter(|port| *port != default_port) {
        location.push(':');
        location.push_str(itoa::Buffer::new().format(port));
    }
    let path = redirect.path.as_deref().unwrap_or(request.path().into_exposed());
    if !path.starts_with('/') {
        location.push('/');
    }
    location.push_str(if path == "*" { "" } else { path });
    if let Some(query) = request.query()
        && !path.contains('?')
    {
        location.push('?');
        location.push_str(query.expose());
    }
    let mut response = Response::new(Body::empty());
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.status = redirect.status;
            response.fields.insert(header::LOCATION, location);
        }
        // Only a configured part that is no valid URI can lead here.
        Err(_) => response.status = StatusCode::INTERNAL_SERVER_ERROR,
    }
    Ok(response)
}

/// The answer to an OPTIONS request that may go no further than here (RFC 9110 sections 7.6.2 and 9.3.7). `methods` are
/// those that the route names; where it names none, what is allowed is the service's to say.
pub fn options(methods: &[Method]) -> Response {
    let mut response = Response::new(Body::empty());
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let (false, Ok(allow)) = (names.is_empty(), HeaderValue::try_from(names.join(", "))) {
        response.fields.insert(header::ALLOW, allow);
    }
    response
}

/// The fixed response of a route.
pub fn fixed(answer: &FixedResponse) -> Response {
    let bare = !content::is_allowed(answer.status);
    let body = if bare { Body::empty() } else { Body::full(answer.body.clone()) };
    let mut response = Response::new(body);
    response.status = answer.status;
    if !bare {
        response.fields.insert(header::CONTENT_TYPE, answer.content_type.clone());
    }
    response
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::message::FieldMap;

    fn text(response: &Response) -> String {
        String::from_utf8(response.body.as_full().unwrap().to_vec()).unwrap()
    }

    const fn known_as(request: &str) -> KnownAs<'_> {
        KnownAs { request, trace: None }
    }

    #[test]
    fn a_trace_is_told_beside_the_request() {
        let trace = TraceId::from_bytes([0xab; 16]);
        let response = problem(ErrorKind::NoRoute, false, "gateway", KnownAs { request: "id", trace });
        let body: serde_json::Value = serde_json::from_str(&text(&response)).unwrap();
        assert_eq!(
            (body["request_id"].as_str(), body["trace_id"].as_str()),
            (Some("id"), Some("ab".repeat(16).as_str()))
        );
        let without: serde_json::Value =
            serde_json::from_str(&text(&problem(ErrorKind::NoRoute, false, "gateway", known_as("id")))).unwrap();
        assert!(without.get("trace_id").is_none());
    }

    #[test]
    fn errors_are_problem_details() {
        let response = problem(ErrorKind::ConnectTimeout, false, "gateway", known_as("id-\"1"));
        assert_eq!(response.status, 504);
        assert_eq!(response.fields.text("content-type"), "application/problem+json");
        assert_eq!(response.fields.text("proxy-status"), "gateway; error=connection_timeout");
        let body: serde_json::Value = serde_json::from_str(&text(&response)).unwrap();
        assert_eq!(body["title"], "Gateway Timeout");
        assert_eq!(body["status"], 504);
        assert_eq!(body["request_id"], "id-\"1");
        let overload = problem(ErrorKind::Overload, false, "my gateway\"", known_as(""));
        assert_eq!(overload.fields.text("retry-after"), "1");
        assert_eq!(
            overload.fields.text("proxy-status"),
            "\"my gateway\\\"\"; error=proxy_internal_response; details=\"overload\""
        );
        let memory = problem(ErrorKind::BodyMemory, false, "gateway", known_as(""));
        assert_eq!((memory.status.as_u16(), memory.fields.text("retry-after")), (503, "1"));
        assert_eq!(
            memory.fields.text("proxy-status"),
            "gateway; error=proxy_internal_response; details=\"body-memory\""
        );
    }

    #[test]
    fn grpc_gets_its_own_status() {
        let response = problem(ErrorKind::NoRoute, true, "gateway", known_as("id"));
        assert_eq!(response.status, 200);
        assert_eq!(response.fields.text("content-type"), "application/grpc");
        assert_eq!(response.fields.text("grpc-status"), "12");
        assert!(response.fields.contains_key("grpc-message"));
        assert_eq!(text(&response), "");
    }

    fn location(redirect_to: &Redirect, scheme: &'static str, authority: &str, target: &str) -> String {
        let (authority, target) = (authority.to_owned(), target.to_owned());
        let request = RequestHead::new(Method::GET, scheme, authority, target.parse().unwrap(), FieldMap::new());
        match redirect(redirect_to, &request) {
            Ok(response) => response.fields.text("location").to_owned(),
            Err(error) => error.kind().name().to_owned(),
        }
    }

    #[test]
    fn a_redirect_of_a_request_without_a_host_tells_no_address_of_ours() {
        let none = Redirect { scheme: None, hostname: None, port: None, path: None, status: StatusCode::FOUND };
        let named = Redirect { hostname: Some("b.no".to_owned()), ..none.clone() };
        assert_eq!(location(&named, "http", "", "/x?y"), "http://b.no/x?y");
        assert_eq!(location(&none, "http", "", "/x"), "bad-request");
    }

    #[test]
    fn redirects_keep_what_they_do_not_name() {
        let none = Redirect { scheme: None, hostname: None, port: None, path: None, status: StatusCode::FOUND };
        let https = Redirect { scheme: Some("https".to_owned()), ..none.clone() };
        assert_eq!(location(&https, "http", "a.no:8080", "/x?y=1"), "https://a.no/x?y=1");
        assert_eq!(location(&none, "http", "a.no:8080", "/x"), "http://a.no:8080/x");
        let port = Redirect { port: Some(8443), ..https.clone() };
        assert_eq!(location(&port, "http", "[::1]:80", "//x"), "https://[::1]:8443//x");
        let path = Redirect { path: Some("/new".to_owned()), hostname: Some("b.no".to_owned()), ..none };
        assert_eq!(location(&path, "https", "a.no:443", "/x?y"), "https://b.no/new?y");
        assert_eq!(location(&https, "http", "a.no", "*"), "https://a.no/");
    }

    #[test]
    fn fixed_responses_without_content_have_none() {
        let mut answer = FixedResponse {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static("text/plain"),
            body: "hi".into(),
        };
        assert_eq!(text(&fixed(&answer)), "hi");
        answer.status = StatusCode::NO_CONTENT;
        assert_eq!(text(&fixed(&answer)), "");
    }
}
