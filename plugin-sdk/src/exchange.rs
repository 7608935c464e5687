//! One request and its response, as a plugin sees them.

use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Deref;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::edge::gateway::http::Part;
use crate::form::{cookies_of, form_decode};
use crate::{BodyMode, Failure, FieldError, Fields, Stream, TooLarge, Traits, raw};

/// One request and its response: a handle for the time of the call; the host owns the messages.
///
/// ```
/// use plugin_sdk::{Exchange, RequestAction};
/// fn phase(exchange: &Exchange) -> RequestAction {
///     let request = exchange.request();
///     if request.query_param("token").as_deref() != Some("letmein") {
///         return RequestAction::problem(401, "Unauthorized", "A token is needed.");
///     }
///     if exchange.set_principal("guest").is_err() || request.set_header("x-user", "guest").is_err() {
///         return RequestAction::problem(400, "Bad Request", "Too many header fields.");
///     }
///     RequestAction::next()
/// }
/// # let _ = phase;
/// ```
#[derive(Debug)]
pub struct Exchange<'a> {
    pub(crate) of: raw::Handle<'a>,
    /// The plugin decides who may pass.
    authenticates: bool,
    /// The body ends with this call.
    last: bool,
    /// The state of its stream is lent.
    lent: Cell<bool>,
}

/// The attribute that names the caller.
const PRINCIPAL: &str = "principal";

/// Bytes of `set_state`. What holds is in the rules, which are not part of a plugin; a test holds the two together.
const MAX_STATE: usize = 64 << 10;

impl<'a> Exchange<'a> {
    pub(crate) fn new(of: raw::Handle<'a>, traits: Traits) -> Self {
        Self { of, authenticates: traits.authenticator, last: false, lent: Cell::new(false) }
    }

    /// The same, for a call of a body phase; `end`: nothing follows, so nothing is remembered.
    pub(crate) fn of_chunk(&self, end: bool) -> Self {
        Self { of: self.of, authenticates: self.authenticates, last: end, lent: Cell::new(false) }
    }

    fn fields(&self, part: Part) -> Fields<'a> {
        Fields { of: self.of, part }
    }

    /// The request.
    pub fn request(&self) -> Request<'a> {
        Request(self.fields(Part::Request))
    }

    /// The response; in request phases there is none, and writes fail.
    pub fn response(&self) -> Response<'a> {
        Response(self.fields(Part::Response))
    }

    /// The request's trailers, at the end of its body.
    pub fn request_trailers(&self) -> Fields<'a> {
        self.fields(Part::RequestTrailers)
    }

    /// The response's trailers, at the end of its body.
    pub fn response_trailers(&self) -> Fields<'a> {
        self.fields(Part::ResponseTrailers)
    }

    /// A property by its name: `client.address`, `connection.peer`, `connection.local`, `listener.name`, `tls.sni`,
    /// `protocol` (`http1`, `http2`, `http3`), `request.id`, `route.name`, `upstream.name`, `upstream.endpoint`,
    /// `response.source` (`upstream`, `route`, `plugin`, `stored`, `gateway`), `attribute.NAME`.
    pub fn property(&self, name: &str) -> Option<String> {
        raw::exchange::property(self.of, name)
    }

    /// A measure by its name: `response.status`, `bytes.in`, `bytes.out`, `duration.total-us`, `duration.upstream-us`,
    /// `duration.plugins-us`, `upstream.attempts`. Bytes and attempts are complete in the log phase.
    pub fn measure(&self, name: &str) -> Option<u64> {
        raw::exchange::measure(self.of, name)
    }

    /// The client's address, after trusted proxies.
    pub fn client_address(&self) -> Option<IpAddr> {
        self.property("client.address")?.parse().ok()
    }

    /// The name of the route.
    pub fn route(&self) -> Option<String> {
        self.property("route.name")
    }

    /// The id of the request.
    pub fn request_id(&self) -> Option<String> {
        self.property("request.id")
    }

    /// Why the upstream gave no response, where it gave none.
    pub fn failure(&self) -> Option<Failure> {
        raw::exchange::upstream_failure(self.of)
    }

    /// An attribute that this or an earlier plugin has set.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.property(&format!("attribute.{name}"))
    }

    /// Shares a value with the plugins that are called later in this exchange. It reaches no log;
    /// [`Exchange::set_log_field`] is for that.
    ///
    /// # Errors
    /// [`FieldError::TooLarge`] above 8 KiB, and for more than 64 attributes of all plugins; [`FieldError::InvalidName`]
    /// for a name of none or more than 256 bytes; [`FieldError::NotAllowed`] for `principal`, which
    /// [`Exchange::set_principal`] sets. Then what was there before stays, and who decides by the attribute would decide
    /// without it: refuse the request.
    pub fn set_attribute(&self, name: &str, value: &str) -> Result<(), FieldError> {
        match name {
            PRINCIPAL => Err(FieldError::NotAllowed),
            _ => raw::exchange::put_attribute(self.of, name, value),
        }
    }

    /// Who the caller is, where an authenticator has said it. An empty name is none.
    pub fn principal(&self) -> Option<String> {
        self.attribute(PRINCIPAL).filter(|name| !name.is_empty())
    }

    /// Names the caller. Stored responses are kept apart by it. Whoever does decides who may pass, and says so by
    /// [`Traits::AUTHENTICATOR`], so that no failure policy lets a request pass without a name.
    ///
    /// # Errors
    /// As [`Exchange::set_attribute`], and [`FieldError::InvalidValue`] for an empty name: a caller who can't be named must not
    /// pass. [`FieldError::NotAllowed`] where the plugin is no [`Traits::AUTHENTICATOR`].
    pub fn set_principal(&self, name: &str) -> Result<(), FieldError> {
        match name {
            _ if !self.authenticates => Err(FieldError::NotAllowed),
            "" => Err(FieldError::InvalidValue),
            name => raw::exchange::put_attribute(self.of, PRINCIPAL, name),
        }
    }

    /// Sends the request to another upstream, which must be granted.
    pub fn set_upstream(&self, name: &str) -> Result<(), String> {
        raw::exchange::set_upstream(self.of, name)
    }

    /// What [`Exchange::set_state`] kept in an earlier phase. `None` where nothing was kept.
    ///
    /// # Panics
    /// Where something of another shape was kept: that is not nothing.
    pub fn state<S: DeserializeOwned>(&self) -> Option<S> {
        let bytes = self.state_bytes();
        if bytes.is_empty() {
            return None;
        }
        match serde_json::from_slice(&bytes) {
            Ok(state) => Some(state),
            Err(error) => panic!("the state is not what was kept: {error}"),
        }
    }

    /// Keeps a value for this plugin's later phases of this exchange, as JSON.
    ///
    /// # Errors
    /// Where that is more than 64 KiB; what was kept before stays.
    ///
    /// # Panics
    /// Where the value is none that JSON has, for example a map whose keys are no texts.
    pub fn set_state<S: Serialize>(&self, state: &S) -> Result<(), TooLarge> {
        match serde_json::to_vec(state) {
            Ok(bytes) => self.set_state_bytes(&bytes),
            Err(error) => panic!("the state can't be kept: {error}"),
        }
    }

    /// [`Exchange::state`] without an encoding; empty where nothing was kept.
    pub fn state_bytes(&self) -> Vec<u8> {
        raw::exchange::state(self.of)
    }

    /// [`Exchange::set_state`] without an encoding.
    ///
    /// # Errors
    /// As there.
    pub fn set_state_bytes(&self, state: &[u8]) -> Result<(), TooLarge> {
        if state.len() > MAX_STATE {
            return Err(TooLarge);
        }
        raw::exchange::set_state(self.of, state);
        Ok(())
    }

    /// Begins to remember something of the body of this message: in a headers phase that asks for it in chunks, or at its
    /// first chunk. The state of the other message is another one. It replaces what was begun before.
    ///
    /// ```
    /// use plugin_sdk::prelude::*;
    /// #[derive(Serialize, Deserialize)]
    /// struct Seen { bytes: usize }
    ///
    /// fn on_request_headers(exchange: &Exchange) -> RequestAction {
    ///     exchange.begin_stream(Seen { bytes: 0 });
    ///     RequestAction::read_body(BodyMode::Chunks)
    /// }
    ///
    /// fn on_request_body(exchange: &Exchange, data: &[u8]) -> ChunkAction {
    ///     let Some(mut seen) = exchange.stream::<Seen>() else { return ChunkAction::abort() };
    ///     seen.bytes += data.len();
    ///     if seen.bytes > 1 << 20 { ChunkAction::abort() } else { ChunkAction::pass() }
    /// }
    /// # let _ = (on_request_headers, on_request_body);
    /// ```
    ///
    /// # Panics
    /// While the call has one already.
    pub fn begin_stream<S: Serialize>(&self, state: S) -> Stream<'_, S> {
        Stream::new(self.of, &self.lent, state, self.last)
    }

    /// What is remembered of the body of this message; none where nothing was begun.
    ///
    /// # Panics
    /// Where something of another shape was kept, and while the call has it already: of two, one would be lost.
    pub fn stream<S: Serialize + DeserializeOwned>(&self) -> Option<Stream<'_, S>> {
        Stream::take(self.of, &self.lent, self.last)
    }

    /// [`Exchange::stream`], begun where nothing is.
    ///
    /// # Panics
    /// As there.
    pub fn stream_or_begin<S: Serialize + DeserializeOwned>(&self, first: impl FnOnce() -> S) -> Stream<'_, S> {
        self.stream().unwrap_or_else(|| self.begin_stream(first()))
    }

    /// How the body is read that this call is for: [`BodyMode::Chunks`] or [`BodyMode::Whole`]; none outside of body phases.
    pub fn body_mode(&self) -> Option<BodyMode> {
        match self.property("body.mode")?.as_str() {
            "whole" => Some(BodyMode::Whole),
            _ => Some(BodyMode::Chunks),
        }
    }

    /// Asks the host to keep this response for `respond_stored`. The body never enters the plugin. The host adds route
    /// entry, authority, target, Vary fields and principal to the key, and refuses what may not be stored.
    pub fn store_response(&self, key: &str, ttl: Duration) {
        raw::exchange::store_response(self.of, key, millis(ttl));
    }

    /// The fields that plugins have added to the log record.
    pub fn log_fields(&self) -> Vec<(String, String)> {
        raw::exchange::log_fields(self.of)
    }

    /// Sets a field of the log record, or removes it. The record has the first 8 KiB of a value;
    /// log phases see more of it. Beyond 64 fields, and with a name of none or more than 256 bytes, it is left out.
    pub fn set_log_field(&self, name: &str, value: Option<&str>) {
        raw::exchange::set_log_field(self.of, name, value);
    }
}

/// The request: its target, and through [`Fields`] its header fields.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a>(Fields<'a>);

impl<'a> Deref for Request<'a> {
    type Target = Fields<'a>;

    fn deref(&self) -> &Fields<'a> {
        &self.0
    }
}

impl Request<'_> {
    /// The method.
    pub fn method(&self) -> String {
        raw::exchange::method(self.0.of)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> String {
        raw::exchange::scheme(self.0.of)
    }

    /// The authority.
    pub fn authority(&self) -> String {
        raw::exchange::authority(self.0.of)
    }

    /// The path and the query, as in the request line.
    pub fn target(&self) -> String {
        raw::exchange::path(self.0.of)
    }

    /// The path without the query.
    pub fn path(&self) -> String {
        let mut target = self.target();
        if let Some(at) = target.find('?') {
            target.truncate(at);
        }
        target
    }

    /// The query, without `?`.
    pub fn query(&self) -> Option<String> {
        self.target().split_once('?').map(|(_, query)| query.to_owned())
    }

    /// The first parameter of this name in the query, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.query_params().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All parameters of the query, decoded as `application/x-www-form-urlencoded`.
    pub fn query_params(&self) -> Vec<(String, String)> {
        let query = self.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (form_decode(key), form_decode(value))
            })
            .collect()
    }

    /// The values of a cookie, in whatever fields they come (RFC 6265 section 4.2, RFC 9113 section 8.2.3), without quotes
    /// around them. A client may send several of one name, and servers differ in which they take: where you decide by it,
    /// refuse more than one.
    ///
    /// ```
    /// # use plugin_sdk::Exchange;
    /// fn session(exchange: &Exchange) -> Option<String> {
    ///     let mut values = exchange.request().cookies("session");
    ///     if values.len() == 1 { values.pop() } else { None }
    /// }
    /// # let _ = session;
    /// ```
    pub fn cookies(&self, name: &str) -> Vec<String> {
        let fields = self.header_all("cookie");
        fields.iter().flat_map(|field| cookies_of(&String::from_utf8_lossy(field), name)).collect()
    }

    /// Sets the method.
    pub fn set_method(&self, method: &str) -> Result<(), FieldError> {
        raw::exchange::set_target(self.0.of, Some(method), None, None)
    }

    /// Sets the authority. The request keeps its route: no other one is looked for.
    pub fn set_authority(&self, authority: &str) -> Result<(), FieldError> {
        raw::exchange::set_target(self.0.of, None, Some(authority), None)
    }

    /// Sets path and query. A new path has no escaped slash, backslash or NUL and no dot segments; the current one may stay
    /// as it is, whatever the query. The request keeps its route: no other one is looked for.
    pub fn set_target(&self, target: &str) -> Result<(), FieldError> {
        raw::exchange::set_target(self.0.of, None, None, Some(target))
    }
}

/// The response: its status, and through [`Fields`] its header fields.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a>(Fields<'a>);

impl<'a> Deref for Response<'a> {
    type Target = Fields<'a>;

    fn deref(&self) -> &Fields<'a> {
        &self.0
    }
}

impl Response<'_> {
    /// The status, where there is a response.
    pub fn status(&self) -> Option<u16> {
        raw::exchange::measure(self.0.of, "response.status").and_then(|status| status.try_into().ok())
    }

    /// Sets the status.
    pub fn set_status(&self, status: u16) -> Result<(), FieldError> {
        raw::exchange::set_status(self.0.of, status)
    }
}

/// Whole milliseconds, rounded up, so that a short time is not none.
pub(crate) fn millis(of: Duration) -> u64 {
    u64::try_from(of.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn the_bounds_are_those_of_the_rules() {
        assert!(plugin_rules::notes::check_state(MAX_STATE).is_ok());
        assert!(plugin_rules::notes::check_state(MAX_STATE + 1).is_err());
        assert_eq!(PRINCIPAL, plugin_rules::notes::PRINCIPAL);
    }

    #[test]
    fn a_short_time_is_not_none() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_secs(2)), 2000);
    }
}
