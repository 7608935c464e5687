//! The span of the exchange itself.

use std::borrow::Cow;

use telemetry_export::model::{KeyValue, Kind, Span, Status, Text};

use super::attributes::*;
use super::build::{Build, Piece};
use super::has_failed;
use crate::exchange::Protocol;
use crate::message::FieldValue;
use crate::message::normalize;
use crate::model::{HostnameMatch, PathMatch};
use crate::sensitive::Sensitive;

/// Bytes of a header field's value that are shown at most.
const MOST_OF_A_VALUE: usize = 1024;

impl Build<'_> {
    /// The server's span.
    pub(super) fn exchange(&self) -> Span {
        let (exchange, method) = (self.exchange, self.sanitizer.method(self.exchange.request.asked_method()));
        let pattern = self.route.map(|route| pattern(&route.config.matches.path));
        let name = pattern.as_deref().map_or(Text::Static(method), |pattern| format!("{method} {pattern}").into());
        let mut attributes = Vec::with_capacity(24);
        let mut add =
            |key: &'static str, value: telemetry_export::model::Value| attributes.push(KeyValue::new(key, value));
        add(METHOD, method.into());
        add(URL_SCHEME, exchange.request.scheme.into());
        add(URL_PATH, self.path().into_owned().into());
        if let Some(query) = self.sanitizer.query(self.query()) {
            add(URL_QUERY, query.to_owned().into());
        }
        if let Some(pattern) = pattern {
            add(ROUTE, pattern.into_owned().into());
        }
        add(SERVER_ADDRESS, self.server().into());
        add(SERVER_PORT, exchange.connection.local.port().into());
        add(CLIENT_ADDRESS, self.sanitizer.address(&exchange.client).to_string().into());
        add(PROTOCOL, "http".into());
        add(PROTOCOL_VERSION, version(exchange.connection.protocol).into());
        let status = exchange.response.as_ref().map(|response| response.status.as_u16());
        if let Some(status) = status {
            add(STATUS, status.into());
        }
        add(REQUEST_ID, exchange.id.to_string().into());
        add(LISTENER, exchange.connection.listener.clone().into());
        if let Some(route) = &exchange.route {
            add(GATEWAY_ROUTE, route.clone().into());
        }
        if let Some(upstream) = &exchange.upstream {
            add(UPSTREAM, upstream.clone().into());
        }
        let kind = exchange.error.as_ref().map(|error| error.kind().name());
        if let Some(kind) = kind {
            add(ERROR, kind.into());
        }
        let failed = has_failed(exchange);
        if failed {
            let cause = kind.map(Text::Static).or_else(|| Some(Text::Owned(status?.to_string())));
            add(ERROR_TYPE, cause.unwrap_or(Text::Static("cancelled")).into());
        }
        if self.record.dropped() > 0 {
            add(DROPPED, self.record.dropped().into());
        }
        self.named_headers(&mut attributes);
        let dropped = self.plugins_attributes(None, &mut attributes);
        let status = if failed { Status::Error(kind.map_or(Text::EMPTY, Text::Static)) } else { Status::Unset };
        let (id, began, ended) = (self.trace.span, exchange.started, self.end());
        let piece = Piece { id, parent: id, name, kind: Kind::Server, began, ended };
        Span {
            parent: self.trace.parent.map(crate::trace::SpanId::bytes),
            parent_is_remote: self.trace.parent.is_some(),
            dropped_attributes: dropped,
            ..self.span(piece, attributes, status)
        }
    }

    /// The path that the client asked for, as it may be shown.
    fn path(&self) -> Cow<'_, str> {
        let (_, target) = self.exchange.request.asked_target();
        self.sanitizer.path(target.map(|target| target.split_once('?').map_or(target, |(path, _)| path)))
    }

    fn query(&self) -> Option<Sensitive<&str>> {
        let (_, target) = self.exchange.request.asked_target();
        let query = target.into_exposed().split_once('?').map(|(_, query)| query);
        query.map(Sensitive::new)
    }

    /// The name that the client asked for, where the configuration knows it. Whatever else a client wrote there is his; then it
    /// is the address.
    fn server(&self) -> Text {
        let (authority, _) = self.exchange.request.asked_target();
        let asked = normalize::hostname(authority.into_exposed());
        let known =
            self.route.into_iter().flat_map(|route| &route.config.matches.hostnames).find_map(|known| match known {
                HostnameMatch::Exact(name) if name == asked => Some(name.clone()),
                HostnameMatch::Exact(_) | HostnameMatch::Wildcard(_) => None,
            });
        known.unwrap_or_else(|| self.exchange.connection.local.ip().to_canonical().to_string()).into()
    }

    /// The request header fields that the configuration names.
    fn named_headers(&self, attributes: &mut Vec<KeyValue>) {
        for name in self.sanitizer.request_headers() {
            let values: Vec<Text> =
                self.exchange.request.headers.get_all(name).map(|value| shown(value).into()).collect();
            if values.is_empty() {
                continue;
            }
            if name == http::header::USER_AGENT
                && let Some(first) = values.first()
            {
                attributes.push(KeyValue::new(USER_AGENT, first.clone()));
            }
            attributes.push(KeyValue::new(format!("http.request.header.{name}"), values));
        }
    }
}

/// A value as text, cut where it is long.
fn shown(value: FieldValue<'_>) -> String {
    let bytes = value.expose();
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_OF_A_VALUE)]).into_owned()
}

/// What of a path is the route's: a template, as `http.route` wants it.
fn pattern(path: &PathMatch) -> Cow<'_, str> {
    match path {
        PathMatch::Exact(path) => path.into(),
        PathMatch::Prefix(prefix) => format!("{}/*", prefix.trim_end_matches('/')).into(),
        // The expression is anchored by us.
        PathMatch::Regex(regex) => {
            let text = regex.as_str();
            text.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z")).unwrap_or(text).into()
        }
    }
}

const fn version(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "1.1",
        Protocol::Http2 => "2",
        Protocol::Http3 => "3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_known_by_the_template_of_its_path() {
        for (path, expected) in [
            (PathMatch::Exact("/a".to_owned()), "/a"),
            (PathMatch::Prefix("/a/".to_owned()), "/a/*"),
            (PathMatch::Prefix("/".to_owned()), "/*"),
            (PathMatch::Regex(regex::Regex::new(r"\A(?:/u/[0-9]+)\z").unwrap()), "/u/[0-9]+"),
        ] {
            assert_eq!(pattern(&path), expected);
        }
    }
}
