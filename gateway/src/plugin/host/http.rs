//! Interface `http`: the exchange as a plugin sees it. Nothing that a guest hands over reaches a message unchecked.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AsHeaderName, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::HostState;
use crate::exchange::{Exchange, ResponseSource, StoreRequest};
use crate::message::headers::{self, Direction};
use crate::message::normalize;
use crate::plugin::grants::Need;
use crate::plugin::phase::bindings::edge::gateway::http::{self as contract, Exchange as Handle, FieldError, Part};
use crate::plugin::phase::{Failure, Header, Phase};

/// Fields of one part.
const MAX_FIELDS: usize = 256;
/// Bytes of one value.
const MAX_VALUE: usize = 64 << 10;
/// Bytes of one part, looked at when a long value comes.
const MAX_PART: usize = 256 << 10;
const MAX_NAME: usize = 256;
/// `set-state`.
const MAX_STATE: usize = 64 << 10;
/// Attributes and log fields: how many, and how long an attribute may be.
const MAX_ENTRIES: usize = 64;
const MAX_ENTRY: usize = 8 << 10;
/// All log fields of an exchange together.
const MAX_LOG: usize = 512 << 10;
/// `store-response`.
const MAX_KEY: usize = 1 << 10;

type Fallible<T> = wasmtime::Result<Result<T, FieldError>>;

pub(crate) fn field_name(name: &str, part: Part) -> Result<HeaderName, FieldError> {
    let name = parsed_name(name)?;
    allowed_name(&name, part)?;
    Ok(name)
}

/// The name of a field.
pub(super) fn parsed_name(name: &str) -> Result<HeaderName, FieldError> {
    if name.starts_with(':') {
        return Err(FieldError::NotAllowed);
    }
    let error = || if name.len() > MAX_NAME { FieldError::TooLarge } else { FieldError::InvalidName };
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| error())
}

/// Refuses names that are too long, and fields that the gateway makes itself.
fn allowed_name(name: &HeaderName, part: Part) -> Result<(), FieldError> {
    if name.as_str().len() > MAX_NAME {
        return Err(FieldError::TooLarge);
    }
    let trailers = match part {
        Part::RequestTrailers => Some(Direction::Request),
        Part::ResponseTrailers => Some(Direction::Response),
        Part::Request | Part::Response => None,
    };
    if headers::is_made_here(name) || trailers.is_some_and(|of| headers::is_forbidden_in_trailers(name, of)) {
        return Err(FieldError::NotAllowed);
    }
    Ok(())
}

pub(crate) fn field_value(value: &[u8]) -> Result<HeaderValue, FieldError> {
    if value.len() > MAX_VALUE {
        return Err(FieldError::TooLarge);
    }
    // RFC 9110 section 5.5: no CR, LF or NUL, and no space at either end; `HeaderValue` refuses the first three.
    HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| FieldError::InvalidValue)
}

/// Remembers that the plugin at this place is about to change the fields of this name, whether there are any or not: no
/// trailer may bring them back.
fn note_edit(exchange: &mut Exchange, by: usize, part: Part, name: &HeaderName) {
    match (part, &mut exchange.response) {
        (Part::Request, _) => exchange.request.edited(name, by),
        (Part::Response, Some(response)) if !response.barred.contains(name) => response.barred.push(name.clone()),
        _ => {}
    }
}

/// The fields of a response that a plugin makes, under the bounds of a part. Those that the gateway makes itself are
/// dropped.
pub(crate) fn response_fields(fields: Vec<Header>) -> Result<HeaderMap, &'static str> {
    let bytes: usize = fields.iter().map(|field| field.name.len() + field.value.len()).sum();
    if fields.len() > MAX_FIELDS || bytes > MAX_PART {
        return Err("answered with more than 256 header fields, or 256 KiB of them");
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for Header { name, value } in fields {
        match field_name(&name, Part::Response) {
            Ok(name) => headers.append(name, field_value(&value).map_err(|_| "answered with an invalid field value")?),
            Err(FieldError::NotAllowed) if !name.starts_with(':') => continue,
            Err(_) => return Err("answered with an invalid field name"),
        };
    }
    Ok(headers)
}

/// Whether the part has room for a value more; `replacing`: it takes the place of those of this name.
fn room(headers: &HeaderMap, more: usize, replacing: Option<&HeaderName>) -> Result<(), FieldError> {
    if headers.len() >= MAX_FIELDS && !replacing.is_some_and(|name| headers.contains_key(name)) {
        return Err(FieldError::TooLarge);
    }
    if more > 1024 {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes + more > MAX_PART {
            return Err(FieldError::TooLarge);
        }
    }
    Ok(())
}

/// The fields of a part; `None` where there is none (yet).
fn fields(exchange: &Exchange, part: Part) -> Option<&HeaderMap> {
    match part {
        Part::Request => Some(&exchange.request.headers),
        Part::RequestTrailers => exchange.request.trailers.as_ref(),
        Part::Response => exchange.response.as_ref().map(|response| &response.headers),
        Part::ResponseTrailers => exchange.response.as_ref().and_then(|response| response.trailers.as_ref()),
    }
}

/// The fields of a part that can still be changed.
fn fields_mut(exchange: &mut Exchange, part: Part) -> Result<&mut HeaderMap, FieldError> {
    match part {
        Part::Request if exchange.request.sent => Err(FieldError::TooLate),
        Part::Request => Ok(&mut exchange.request.headers),
        Part::RequestTrailers => Ok(exchange.request.trailers.get_or_insert_default()),
        Part::Response | Part::ResponseTrailers => {
            let response = exchange.response.as_mut().ok_or(FieldError::NotAllowed)?;
            match part {
                Part::ResponseTrailers => Ok(response.trailers.get_or_insert_default()),
                _ if response.sent => Err(FieldError::TooLate),
                _ => Ok(&mut response.headers),
            }
        }
    }
}

/// `http.get`.
pub(super) fn get(exchange: &Exchange, part: Part, name: impl AsHeaderName) -> Option<Vec<u8>> {
    fields(exchange, part)?.get(name).map(|value| value.as_bytes().to_vec())
}

/// `http.set`.
pub(super) fn set(
    exchange: &mut Exchange,
    by: usize,
    part: Part,
    name: Result<HeaderName, FieldError>,
    value: Result<HeaderValue, FieldError>,
) -> Result<(), FieldError> {
    let fields = fields_mut(exchange, part)?;
    let name = name?;
    allowed_name(&name, part)?;
    let value = value?;
    room(fields, value.len(), Some(&name))?;
    note_edit(exchange, by, part, &name);
    fields_mut(exchange, part)?.insert(name, value);
    Ok(())
}

/// The canonical form of a target that a plugin hands over; `None` for one that the router could not have produced.
/// The current path has passed the router already: a plugin may change the query of whatever came through it.
pub(crate) fn canonical_target(target: &str, current: &str) -> Option<String> {
    let split = |target| str::split_once(target, '?').map_or((target, None), |(path, query)| (path, Some(query)));
    let ((path, query), (current_path, _)) = (split(target), split(current));
    if target.len() > MAX_ENTRY.max(current.len()) {
        return None;
    }
    let path = if path == current_path { path.into() } else { canonical_path(path)? };
    match query {
        None => Some(path.into_owned()),
        Some(query) => Some(format!("{path}?{}", normalize::query(query).ok()?)),
    }
}

/// The form that the router would have given a client's path. Where a client may write dot segments and encoded
/// separators, a plugin may not: it says what it means, or hands on what somebody else meant.
fn canonical_path(path: &str) -> Option<Cow<'_, str>> {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2f", "%5c"].iter().any(|escape| lower.contains(escape));
    let dots = lower.replace("%2e", ".").split('/').any(|segment| segment == "." || segment == "..");
    if hidden || dots { None } else { normalize::path(path).ok() }
}

/// The form that the router would have given a client's authority.
pub(crate) fn canonical_authority(authority: &str) -> Option<String> {
    normalize::authority(authority).ok()
}

/// The status of a response that goes to the client in full: no interim one.
pub(crate) fn response_status(code: u16) -> Result<StatusCode, FieldError> {
    match StatusCode::from_u16(code) {
        Ok(status) if (200..600).contains(&code) => Ok(status),
        _ => Err(FieldError::InvalidValue),
    }
}

/// A value as it is kept for the log. Cut, not refused: how long a value is, a request decides, and one must not be able
/// to fail the plugin that makes the value harmless. The record has less of it: it is cut once more when plugins have seen
/// it, since half of an address is not recognised as one.
fn fitting(mut value: String, name: &str, fields: &[(String, Option<String>)]) -> String {
    let others = fields.iter().filter(|(known, _)| known != name).filter_map(|(_, value)| value.as_ref());
    let room = MAX_LOG.saturating_sub(others.map(String::len).sum());
    value.truncate(value.floor_char_boundary(MAX_VALUE.min(room)));
    value
}

fn refuse<T>(what: &str) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(what.to_owned()))
}

impl HostState {
    /// The exchange of the running call, for one host call.
    pub(super) fn exchange(&mut self, of: Handle) -> wasmtime::Result<&mut Exchange> {
        self.charge()?;
        match &mut self.exchange {
            Some(exchange) if of == self.handle => Ok(exchange),
            Some(_) => refuse("the handle is not that of this call's exchange"),
            None => refuse("there is no exchange in this call"),
        }
    }
}

impl contract::Host for HostState {
    fn get(&mut self, of: Handle, part: Part, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(get(self.exchange(of)?, part, name.as_str()))
    }

    fn get_all(&mut self, of: Handle, part: Part, name: Option<String>) -> wasmtime::Result<Vec<Header>> {
        let exchange = self.exchange(of)?;
        let Some(fields) = fields(exchange, part) else { return Ok(Vec::new()) };
        let header =
            |name: &str, value: &HeaderValue| Header { name: name.to_owned(), value: value.as_bytes().to_vec() };
        Ok(match name {
            None => fields.iter().map(|(name, value)| header(name.as_str(), value)).collect(),
            Some(name) => {
                let name = name.to_ascii_lowercase();
                fields.get_all(name.as_str()).iter().map(|value| header(&name, value)).collect()
            }
        })
    }

    fn set(&mut self, of: Handle, part: Part, name: String, value: Vec<u8>) -> Fallible<()> {
        let index = self.index;
        Ok(set(self.exchange(of)?, index, part, parsed_name(&name), field_value(&value)))
    }

    fn append(&mut self, of: Handle, part: Part, name: String, value: Vec<u8>) -> Fallible<()> {
        let index = self.index;
        let exchange = self.exchange(of)?;
        Ok((|| {
            let fields = fields_mut(exchange, part)?;
            let (name, value) = (field_name(&name, part)?, field_value(&value)?);
            room(fields, value.len(), None)?;
            // What is there stays, so a response's trailers may go on bringing more of it.
            if part == Part::Request {
                note_edit(exchange, index, part, &name);
            }
            fields_mut(exchange, part)?.append(&name, value);
            Ok(())
        })())
    }

    fn remove(&mut self, of: Handle, part: Part, name: String) -> Fallible<()> {
        let index = self.index;
        let exchange = self.exchange(of)?;
        if fields(exchange, part).is_none() {
            return Ok(Ok(()));
        }
        Ok((|| {
            fields_mut(exchange, part)?;
            let name = field_name(&name, part)?;
            note_edit(exchange, index, part, &name);
            fields_mut(exchange, part)?.remove(&name);
            Ok(())
        })())
    }

    fn method(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.method.as_str().to_owned())
    }

    fn scheme(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.scheme.to_owned())
    }

    fn authority(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.authority.clone())
    }

    fn path(&mut self, of: Handle) -> wasmtime::Result<String> {
        Ok(self.exchange(of)?.request.path_and_query.clone())
    }

    fn property(&mut self, of: Handle, name: String) -> wasmtime::Result<Option<String>> {
        let exchange = self.exchange(of)?;
        Ok(match name.as_str() {
            "client.address" => Some(exchange.client.to_string()),
            "connection.peer" => Some(exchange.connection.peer.to_string()),
            "connection.local" => Some(exchange.connection.local.to_string()),
            "listener.name" => Some(exchange.connection.listener.to_string()),
            "tls.sni" => exchange.connection.sni.as_deref().map(str::to_owned),
            "protocol" => Some(exchange.connection.protocol.name().to_owned()),
            "request.id" => Some(exchange.id.clone()),
            "route.name" => exchange.route.as_deref().map(str::to_owned),
            "upstream.name" => exchange.upstream.as_deref().map(str::to_owned),
            "upstream.endpoint" => exchange.endpoint.map(|endpoint| endpoint.to_string()),
            "response.source" => match exchange.source {
                ResponseSource::None => None,
                ResponseSource::Upstream => Some("upstream".to_owned()),
                ResponseSource::Route => Some("route".to_owned()),
                ResponseSource::Plugin(_) => Some("plugin".to_owned()),
                ResponseSource::Stored(_) => Some("stored".to_owned()),
                ResponseSource::Gateway => Some("gateway".to_owned()),
            },
            other => other.strip_prefix("attribute.").and_then(|name| exchange.attribute(name)).map(str::to_owned),
        })
    }

    fn measure(&mut self, of: Handle, name: String) -> wasmtime::Result<Option<u64>> {
        let exchange = self.exchange(of)?;
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).ok();
        let measures = &exchange.measures;
        Ok(match name.as_str() {
            "response.status" => exchange.response.as_ref().map(|response| u64::from(response.status.as_u16())),
            "bytes.in" => Some(measures.bytes_in),
            "bytes.out" => Some(measures.bytes_out),
            "duration.total-us" if measures.total.is_zero() => micros(exchange.started.elapsed()),
            "duration.total-us" => micros(measures.total),
            "duration.upstream-us" => micros(measures.upstream),
            "duration.plugins-us" => micros(measures.plugins),
            "upstream.attempts" => Some(u64::from(measures.attempts)),
            _ => None,
        })
    }

    fn upstream_failure(&mut self, of: Handle) -> wasmtime::Result<Option<Failure>> {
        Ok(self.exchange(of)?.failure.map(Into::into))
    }

    fn set_target(
        &mut self,
        of: Handle,
        method: Option<String>,
        authority: Option<String>,
        path: Option<String>,
    ) -> Fallible<()> {
        let exchange = self.exchange(of)?;
        if exchange.request.sent {
            return Ok(Err(FieldError::TooLate));
        }
        Ok((|| {
            // All is checked before anything is changed.
            let method = method
                .map(|method| match Method::from_bytes(method.as_bytes()) {
                    // CONNECT makes a tunnel, and TRACE tells what the request holds: no plugin can ask for them.
                    Ok(Method::CONNECT | Method::TRACE) => Err(FieldError::NotAllowed),
                    Ok(method) if method.as_str().len() <= 32 => Ok(method),
                    _ => Err(FieldError::InvalidValue),
                })
                .transpose()?;
            let authority =
                authority.map(|text| canonical_authority(&text).ok_or(FieldError::InvalidValue)).transpose()?;
            let current = &exchange.request.path_and_query;
            let path = path.map(|text| canonical_target(&text, current).ok_or(FieldError::InvalidValue)).transpose()?;
            exchange.request.retarget(method, authority, path);
            Ok(())
        })())
    }

    fn set_upstream(&mut self, of: Handle, name: String) -> wasmtime::Result<Result<(), String>> {
        let granted = self.shared.upstreams.iter().find(|upstream| ***upstream == *name).cloned();
        if self.exchange(of)?.request.sent {
            return Ok(Err("the request has been sent".to_owned()));
        }
        let Some(upstream) = granted else { return Ok(Err(self.refuse(Need::Upstreams, &name))) };
        let exchange = self.exchange(of)?;
        exchange.upstream = Some(upstream);
        Ok(Ok(()))
    }

    fn set_status(&mut self, of: Handle, code: u16) -> Fallible<()> {
        let exchange = self.exchange(of)?;
        let Some(response) = &mut exchange.response else { return Ok(Err(FieldError::NotAllowed)) };
        if response.sent {
            return Ok(Err(FieldError::TooLate));
        }
        Ok(response_status(code).map(|status| response.status = status))
    }

    fn state(&mut self, of: Handle) -> wasmtime::Result<Vec<u8>> {
        let index = self.index;
        Ok(self.exchange(of)?.scratch.get(index).map(|scratch| scratch.state.to_vec()).unwrap_or_default())
    }

    fn set_state(&mut self, of: Handle, value: Vec<u8>) -> wasmtime::Result<()> {
        let index = self.index;
        let exchange = self.exchange(of)?;
        if value.len() > MAX_STATE {
            return refuse("set-state: at most 64 KiB");
        }
        exchange.scratch_of(index).state = Bytes::from(value);
        Ok(())
    }

    fn set_attribute(&mut self, of: Handle, name: String, value: String) -> wasmtime::Result<()> {
        let index = self.index;
        let exchange = self.exchange(of)?;
        if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_ENTRY {
            return refuse("set-attribute: a name of 1 to 256 bytes and a value of at most 8 KiB");
        }
        if exchange.attributes.len() >= MAX_ENTRIES && exchange.attribute(&name).is_none() {
            return refuse("set-attribute: at most 64 attributes");
        }
        if name == "principal" {
            exchange.request.edits.principal_by = Some(index);
        }
        exchange.set_attribute(&name, value);
        Ok(())
    }

    fn store_response(&mut self, of: Handle, key: String, ttl_ms: u64) -> wasmtime::Result<()> {
        let (index, phase) = (self.index, self.phase);
        let exchange = self.exchange(of)?;
        if phase != Phase::ResponseHeaders {
            return refuse("store-response: only in on-response-headers");
        }
        if key.len() > MAX_KEY {
            return refuse("store-response: a key of at most 1 KiB");
        }
        exchange.scratch_of(index).store = Some(StoreRequest { key, ttl: Duration::from_millis(ttl_ms) });
        Ok(())
    }

    fn log_fields(&mut self, of: Handle) -> wasmtime::Result<Vec<(String, String)>> {
        let exchange = self.exchange(of)?;
        Ok(exchange.log_fields.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect())
    }

    fn set_log_field(&mut self, of: Handle, name: String, value: Option<String>) -> wasmtime::Result<()> {
        let exchange = self.exchange(of)?;
        if name.is_empty() || name.len() > MAX_NAME {
            return refuse("set-log-field: a name of 1 to 256 bytes");
        }
        let value = value.map(|value| fitting(value, &name, &exchange.log_fields));
        let count = exchange.log_fields.len();
        match exchange.log_fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None if count >= MAX_ENTRIES => return refuse("set-log-field: at most 64 fields"),
            None => exchange.log_fields.push((name, value)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_splitting_is_refused() {
        for value in [&b"a\r\nset-cookie: x"[..], b"a\nb", b"a\0b"] {
            assert_eq!(field_value(value), Err(FieldError::InvalidValue));
        }
        assert_eq!(field_value(b" padded ").unwrap(), "padded");
        for name in ["a b", "a\r\n", "", "æ"] {
            assert_eq!(field_name(name, Part::Request), Err(FieldError::InvalidName), "{name:?}");
        }
        for (long, invalid) in [("x".repeat(MAX_NAME + 1), false), ("x y".repeat(MAX_NAME), true)] {
            assert_eq!(field_name(&long, Part::Request), Err(FieldError::TooLarge));
            assert_eq!(parsed_name(&long).is_err(), invalid, "one that a client sent can be read");
        }
        for name in [":path", "Host", "content-length", "Transfer-Encoding", "connection", "upgrade"] {
            assert_eq!(field_name(name, Part::Request), Err(FieldError::NotAllowed), "{name:?}");
        }
        assert_eq!(field_name("X-Mixed", Part::Response).unwrap(), "x-mixed");
        assert_eq!(field_name("authorization", Part::RequestTrailers), Err(FieldError::NotAllowed));
    }

    #[test]
    fn a_part_has_bounds() {
        let mut headers = HeaderMap::new();
        for index in 0..MAX_FIELDS {
            assert!(room(&headers, 1, None).is_ok());
            headers.append("x", HeaderValue::from(index));
        }
        assert_eq!(room(&headers, 1, None), Err(FieldError::TooLarge));
        let [here, elsewhere] = ["x", "y"].map(HeaderName::from_static);
        assert_eq!(room(&headers, 1, Some(&here)), Ok(()), "a value in place of another one needs no room");
        assert_eq!(room(&headers, 1, Some(&elsewhere)), Err(FieldError::TooLarge));
        assert_eq!(field_value(&vec![b'a'; MAX_VALUE + 1]), Err(FieldError::TooLarge));
    }

    #[test]
    fn log_fields_are_bounded_each_and_together() {
        let mut fields = Vec::new();
        for name in 0..MAX_ENTRIES {
            let (name, value) = (name.to_string(), format!("a{}", "æ".repeat(MAX_VALUE)));
            let value = fitting(value, &name, &fields);
            fields.push((name, Some(value)));
        }
        let lengths: Vec<usize> = fields.iter().map(|(_, value)| value.as_ref().map_or(0, String::len)).collect();
        assert_eq!(lengths[0], MAX_VALUE - 1, "a whole character less");
        assert!(lengths.iter().sum::<usize>() <= MAX_LOG);
        let again = fitting("b".repeat(MAX_VALUE), "0", &fields);
        assert_eq!(again.len(), lengths[0], "a value in place of another one has its room");
    }

    #[test]
    fn the_query_of_any_target_that_came_through_the_router_can_be_changed() {
        let long = "x".repeat(MAX_ENTRY);
        for path in ["/a%2Fb", "*", "/a%5Cb", &format!("/{long}")] {
            let current = format!("{path}?key=s&b=%zz");
            assert_eq!(canonical_target(&format!("{path}?b=%zz"), &current), Some(format!("{path}?b=%zz")));
            assert_eq!(canonical_target(path, &current).as_deref(), Some(path));
        }
        assert_eq!(canonical_target("/a%2Fc", "/a%2Fb"), None);
        assert_eq!(canonical_target(&format!("/a?{long}"), "/a?b"), None);
        assert!(canonical_target(&format!("/a?{long}"), &format!("/a?{long}&key=s")).is_some());
    }

    #[test]
    fn a_made_response_has_the_bounds_of_a_part_and_no_framing_of_its_own() {
        let field = |name: &str, value: &[u8]| Header { name: name.to_owned(), value: value.to_vec() };
        let many = vec![field("x", b"1"); 30_000];
        assert!(response_fields(many).is_err(), "more than a header map can hold");
        assert!(response_fields(vec![field("x", b"1"); MAX_FIELDS]).is_ok());
        assert!(response_fields(vec![field("x", &[b'a'; 60 << 10]); 5]).is_err(), "too many bytes in sum");
        for (name, value) in [("x", &b"a\r\nb: c"[..]), ("a b", b""), (":status", b"200")] {
            assert!(response_fields(vec![field(name, value)]).is_err(), "{name}");
        }
        let owned = ["connection", "Content-Length", "keep-alive", "upgrade", "te", "trailer", "proxy-connection"];
        let mut fields: Vec<_> = owned.iter().map(|name| field(name, b"1")).collect();
        fields.push(field("x-kept", b"1"));
        assert_eq!(response_fields(fields).unwrap().keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn a_target_with_a_second_reading_is_not_taken() {
        for bad in ["/a/..;/b", "/a/.;x/b", "/a/%2e%2e;/b", "/%00"] {
            assert_eq!(canonical_target(bad, "/x"), None, "{bad:?}");
        }
        for (target, canonical) in [("//a///b", "/a/b"), ("/%61%c3", "/a%C3"), ("/æ\"", "/%C3%A6%22")] {
            assert_eq!(canonical_target(target, "/x").as_deref(), Some(canonical));
        }
        for (authority, canonical) in [("A.no.", "a.no"), ("a.no:", "a.no"), ("[2001:DB8::0]:1", "[2001:db8::]:1")] {
            assert_eq!(canonical_authority(authority).as_deref(), Some(canonical));
        }
        for bad in ["a..b", ".a", "a:65536", "a:x", "[::1", "a,b", "a%41"] {
            assert_eq!(canonical_authority(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_canonical_targets_are_taken() {
        for good in ["/", "/a/b?c=../d", "/a%20b", "/a?b=%zz%&c=\\", "/a?"] {
            assert_eq!(canonical_target(good, "/x").as_deref(), Some(good));
        }
        for bad in ["", "a", "*", "//x/../y", "/a/%2e%2E/b", "/a%2fb", "/a b", "/a\r\n", "/a#b", "/%zz", "/%4", "/a\\b"]
        {
            assert_eq!(canonical_target(bad, "/x"), None, "{bad:?}");
        }
        for bad in ["/a?b c", "/a?b#c", "/a?b\r\n"] {
            assert_eq!(canonical_target(bad, "/a"), None, "{bad:?}");
        }
        assert_eq!(canonical_target("/a?æ", "/a").as_deref(), Some("/a?%C3%A6"));
        assert_eq!(canonical_authority("API.example.no:8443").as_deref(), Some("api.example.no:8443"));
        for bad in ["", "user@host", "a b", "a/b"] {
            assert_eq!(canonical_authority(bad), None, "{bad:?}");
        }
    }
}
