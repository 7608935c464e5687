//! What an operator decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::backoff::RetrySettings;
use crate::endpoint::Endpoint;

/// A collector and the way to it.
#[derive(Debug)]
pub struct Settings {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Sent with every request.
    pub headers: Vec<Header>,
    /// Whether requests are compressed.
    pub compression: Compression,
    /// Who may vouch for it; used where the endpoint is `https`.
    pub trust: Trust,
    /// How the gateway shows who it is, if the collector asks.
    pub identity: Option<Identity>,
    /// How long one request may take, from the connection to the end of the answer.
    pub timeout: Duration,
    /// What follows a failure.
    pub retry: RetrySettings,
}

impl Settings {
    /// A collector that is spoken to in the plainest way.
    pub fn new(protocol: Protocol, endpoint: Endpoint) -> Self {
        Self {
            protocol,
            endpoint,
            headers: Vec::new(),
            compression: Compression::None,
            trust: Trust::System,
            identity: None,
            // The default of OpenTelemetry's exporters (OTEL_EXPORTER_OTLP_TIMEOUT).
            timeout: Duration::from_secs(10),
            retry: RetrySettings::default(),
        }
    }
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over HTTP/1.1, in protobuf; `/v1/traces` and the like are appended to the endpoint.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Zipkin's JSON, version 2, over HTTP/1.1; for spans only. Where the endpoint has no path, `/api/v2/spans` is appended.
    Zipkin,
}

impl Protocol {
    /// The protocol that is spoken on a connection, for ALPN (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::OtlpHttp | Self::Zipkin => b"http/1.1",
            Self::OtlpGrpc => b"h2",
        }
    }
}

/// Whether requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are not.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

/// Who may vouch for the collector's certificate.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The authorities of the system.
    #[default]
    System,
    /// These alone.
    Roots(Arc<RootCertStore>),
}

/// A client certificate.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, and what leads from it to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key. Never shown: rustls leaves it out.
    pub key: PrivateKeyDer<'static>,
}

/// A field that is sent with every request, such as `authorization`. Its value is a secret: no message shows it, and HTTP/2
/// keeps it out of its tables.
#[derive(Clone)]
pub struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl Header {
    /// A field by its name and value.
    pub fn new(name: &str, value: &[u8]) -> Result<Self, InvalidHeader> {
        let name: HeaderName = name.parse().map_err(|_| InvalidHeader::Name)?;
        if OURS.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err(InvalidHeader::Ours(name));
        }
        // What ends a file with a secret is no part of it.
        let mut value = HeaderValue::from_bytes(value.trim_ascii()).map_err(|_| InvalidHeader::Value(name.clone()))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: (a secret)", self.name)
    }
}

/// Fields that follow from what is sent and how.
const OURS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Why a field can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// Not a name.
    #[error("it is not a name of a header field (letters, digits and hyphens)")]
    Name,
    /// A field that is set by the exporter itself.
    #[error("{0} follows from what is sent; leave it out")]
    Ours(HeaderName),
    /// A value that no field can have.
    #[error("the value of {0} has a line break or another control character in it")]
    Value(HeaderName),
}

/// How much waits for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many items are held at most, those that are being sent included. More are dropped.
    pub max_items: usize,
    /// How much memory they take at most in bytes, roughly.
    pub max_bytes: usize,
    /// How many items go in one request.
    pub batch_items: usize,
    /// How much memory the items of one request take in bytes, roughly. Collectors take 4 MiB by gRPC unless they are told
    /// otherwise, and items are smaller on the wire than here.
    pub batch_bytes: usize,
    /// How long an item waits for others at most.
    pub max_delay: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            max_items: 32_768,
            max_bytes: 32 << 20,
            batch_items: 2_048,
            batch_bytes: 2 << 20,
            max_delay: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, InvalidHeader};

    #[test]
    fn a_value_is_shown_nowhere() {
        let header = Header::new("Authorization", b"Bearer hemmelig\n").unwrap();
        assert_eq!(format!("{header:?}"), "authorization: (a secret)");
        assert!(!format!("{:?}", header.value).contains("hemmelig"));
        assert_eq!(header.value.as_bytes(), b"Bearer hemmelig");
        let error = Header::new("x-key", b"hemmelig\nmer").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hemmelig"), "{error:?}");
    }

    #[test]
    fn fields_of_the_protocol_are_not_for_the_operator() {
        for name in ["Content-Type", "host", "grpc-timeout", "TE"] {
            assert!(matches!(Header::new(name, b"1"), Err(InvalidHeader::Ours(_))), "{name}");
        }
        assert_eq!(Header::new("a b", b"1").unwrap_err(), InvalidHeader::Name);
    }
}
