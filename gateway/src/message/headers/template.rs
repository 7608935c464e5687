//! Values of header fields that are made per request: text with variables such as `${client.address}`, compiled when the
//! configuration is read.
//!
//! What a variable gives has been made canonical before: an address, a validated authority, a path without blanks, a
//! token. Should the whole be no value all the same, there is no field: a client can't put anything behind a line break.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use crate::exchange::Exchange;

/// What a template can say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `client.address`
    ClientAddress,
    /// `connection.peer`
    ConnectionPeer,
    /// `connection.port`
    ConnectionPort,
    /// `listener.name`
    ListenerName,
    /// `protocol.name`
    ProtocolName,
    /// `request.host`
    RequestHost,
    /// `request.id`
    RequestId,
    /// `request.method`
    RequestMethod,
    /// `request.path`
    RequestPath,
    /// `request.scheme`
    RequestScheme,
    /// `route.name`
    RouteName,
    /// `tls.server_name`
    TlsServerName,
    /// `upstream.name`
    UpstreamName,
}

/// The variables, with what each gives. Their names hold a dot, which no environment variable does.
pub const VARIABLES: [(&str, Variable, &str); 13] = [
    ("client.address", Variable::ClientAddress, "The client's IP address, as `forwarding.trusted` lets it be known."),
    ("connection.peer", Variable::ConnectionPeer, "IP address and port of the other end of the connection."),
    ("connection.port", Variable::ConnectionPort, "The port that the client, or the proxy in front, connected to."),
    ("listener.name", Variable::ListenerName, "The name of the listener."),
    ("protocol.name", Variable::ProtocolName, "http1, http2 or http3."),
    ("request.host", Variable::RequestHost, "The hostname that was asked for, without a port."),
    ("request.id", Variable::RequestId, "The request id, as in X-Request-Id."),
    ("request.method", Variable::RequestMethod, "The method."),
    ("request.path", Variable::RequestPath, "The normalised path before `rewrite`, without the query."),
    ("request.scheme", Variable::RequestScheme, "http or https: how the client came."),
    ("route.name", Variable::RouteName, "The name of the route."),
    ("tls.server_name", Variable::TlsServerName, "The name that the client asked for in its TLS handshake (SNI)."),
    ("upstream.name", Variable::UpstreamName, "The name of the upstream that was chosen."),
];

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// What a variable gives.
    Variable(Variable),
}

/// A value with at least one variable in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

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
            Self::ClientAddress => address(exchange.client, out),
            Self::ConnectionPeer => {
                let peer = SocketAddr::new(connection.peer.ip().to_canonical(), connection.peer.port());
                out.push_str(&peer.to_string());
            }
            Self::ConnectionPort => out.push_str(itoa::Buffer::new().format(connection.local.port())),
            Self::ListenerName => out.push_str(&connection.listener),
            Self::ProtocolName => out.push_str(connection.protocol.name()),
            Self::RequestHost => out.push_str(crate::message::normalize::hostname(&exchange.request.authority)),
            Self::RequestId => out.push_str(&exchange.id),
            Self::RequestMethod => out.push_str(exchange.request.method.as_str()),
            Self::RequestPath => out.push_str(exchange.request.path()),
            Self::RequestScheme => out.push_str(exchange.request.scheme),
            Self::RouteName => out.push_str(exchange.route.as_deref().unwrap_or_default()),
            Self::TlsServerName => out.push_str(connection.sni.as_deref().unwrap_or_default()),
            Self::UpstreamName => out.push_str(exchange.upstream.as_deref().unwrap_or_default()),
        }
    }
}

fn address(address: IpAddr, out: &mut String) {
    use std::fmt::Write as _;
    // Writing to a String does not fail.
    let _ = write!(out, "{}", address.to_canonical());
}
