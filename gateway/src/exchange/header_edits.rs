//! A route's changes of header fields, with what their variables say of the exchange.
//!
//! What a variable gives has been made canonical before: an address, a validated authority, a path without blanks, a
//! token. Should the whole be no value all the same, there is no field: a client can't put anything behind a line break.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::Exchange;
use crate::message::{FieldMap, normalize};
use crate::model::{HeaderEdits, Piece, Template, Variable};

/// Applies a route's changes: removals first, then values that replace what is there. One that comes out empty leaves no
/// field, as NGINX's `proxy_set_header` does: what the client sent must not stand in its place.
pub fn edit(headers: &mut FieldMap, edits: &HeaderEdits, exchange: &Exchange) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value);
    }
    for (name, template) in &edits.computed {
        match template.value(exchange) {
            Some(value) => headers.insert(name, value),
            None => {
                headers.remove(name);
            }
        }
    }
}

impl Template {
    /// The value for a request; `None` where nothing comes out, or nothing that may be a value.
    pub fn value(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let mut text = String::with_capacity(48);
        for piece in &self.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(variable) => variable.write(exchange, &mut text),
            }
        }
        let trimmed = text.trim();
        // RFC 9110 section 5.5; `HeaderValue` itself would take a tab.
        let visible = trimmed.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        HeaderValue::from_str(trimmed).ok().filter(|value| visible && !value.is_empty())
    }
}

impl Variable {
    fn write(self, exchange: &Exchange, out: &mut String) {
        let connection = &exchange.connection;
        match self {
            Self::ClientAddress => address(*exchange.client.expose(), out),
            Self::ConnectionPeer => {
                let peer = connection.peer.expose();
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                out.push_str(&peer.to_string());
            }
            Self::ConnectionPort => out.push_str(itoa::Buffer::new().format(connection.local.port())),
            Self::ListenerName => out.push_str(&connection.listener),
            Self::ProtocolName => out.push_str(connection.protocol.name()),
            Self::RequestHost => out.push_str(normalize::hostname(exchange.request.authority.expose())),
            Self::RequestId => out.push_str(&exchange.id),
            Self::RequestMethod => out.push_str(exchange.request.method.expose().as_str()),
            Self::RequestPath => out.push_str(exchange.request.path().into_exposed()),
            Self::RequestScheme => out.push_str(exchange.request.scheme),
            Self::RouteName => out.push_str(exchange.route.as_deref().unwrap_or_default()),
            Self::TlsServerName => out.push_str(connection.sni.as_ref().map_or("", |name| name.expose())),
            Self::UpstreamName => out.push_str(exchange.upstream.as_deref().unwrap_or_default()),
        }
    }
}

fn address(address: IpAddr, out: &mut String) {
    use std::fmt::Write as _;
    // Writing to a String does not fail.
    let _ = write!(out, "{}", address.to_canonical());
}
