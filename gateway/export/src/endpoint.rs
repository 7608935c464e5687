//! Where the collector is.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// The base URL of a collector. It has no credentials in it, so that it can be shown everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    is_tls: bool,
    host: String,
    port: u16,
    /// Without a slash at its end; empty for none.
    path: String,
}

impl Endpoint {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The path below which the collector's own paths are; empty, or with a slash at its beginning and none at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A name or an address; one of IPv6 without brackets.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of something below the base. `suffix` begins with a slash, or is empty.
    pub(crate) fn join(&self, suffix: &'static str) -> Uri {
        let path = match (self.path.as_str(), suffix) {
            ("", "") => "/".to_owned(),
            (path, suffix) => format!("{path}{suffix}"),
        };
        let scheme = if self.is_tls { Scheme::HTTPS } else { Scheme::HTTP };
        let is_default = self.port == default_port(self.is_tls);
        let authority = if is_default { self.host.clone() } else { format!("{}:{}", self.host, self.port) };
        // Its parts were read from a URL, so they make one.
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().unwrap_or_default()
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.contains('#') {
            return Err(InvalidEndpoint::Query);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidEndpoint::Syntax)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(InvalidEndpoint::Scheme),
        };
        let authority = uri.authority().ok_or(InvalidEndpoint::Syntax)?;
        if authority.as_str().contains('@') {
            return Err(InvalidEndpoint::Credentials);
        }
        if uri.query().is_some() {
            return Err(InvalidEndpoint::Query);
        }
        // A port that is no number is no port for `http`, which keeps it with the authority.
        let has_colon = authority.as_str().rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let port = match authority.port_u16() {
            Some(0) => return Err(InvalidEndpoint::Port),
            Some(port) => port,
            None if has_colon => return Err(InvalidEndpoint::Port),
            None => default_port(is_tls),
        };
        if authority.host().is_empty() {
            return Err(InvalidEndpoint::Syntax);
        }
        Ok(Self { is_tls, host: authority.host().to_owned(), port, path: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

/// Why a text is no base URL. Nothing of the text is repeated: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not a URL at all.
    #[error("it is not a URL; write it like http://127.0.0.1:4318")]
    Syntax,
    /// A scheme that is neither of the two, or none.
    #[error("it has to begin with http:// or https:// (which is TLS), also for gRPC")]
    Scheme,
    /// A port out of range.
    #[error("its port is not a number between 1 and 65535")]
    Port,
    /// `user:password@`.
    #[error("it has credentials in it, which would be shown in logs; send them in a header whose value is a secret")]
    Credentials,
    /// `?query` or `#fragment`.
    #[error("it has a query or a fragment; a base URL ends with its path")]
    Query,
    /// `/v1/traces` and the like at its end.
    #[error("it ends with {0}, which is appended to it; leave that out")]
    SignalPath(&'static str),
    /// A path where the protocol has none.
    #[error("it has a path, which gRPC has no use for; leave it out, or export over HTTP")]
    PathOfGrpc,
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, InvalidEndpoint};

    fn shown(text: &str) -> Result<(String, String), InvalidEndpoint> {
        let endpoint: Endpoint = text.parse()?;
        Ok((endpoint.to_string(), endpoint.join("/v1/traces").to_string()))
    }

    #[test]
    fn a_base_url_keeps_its_path() {
        for (text, base, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/", "http://collector:80", "http://collector/v1/traces"),
            ("https://example.no/otlp/", "https://example.no:443/otlp", "https://example.no/otlp/v1/traces"),
            ("https://[::1]:4318/a/b", "https://[::1]:4318/a/b", "https://[::1]:4318/a/b/v1/traces"),
        ] {
            assert_eq!(shown(text), Ok((base.to_owned(), traces.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_for_what_is_wrong() {
        for (text, error) in [
            ("", InvalidEndpoint::Syntax),
            ("http://", InvalidEndpoint::Syntax),
            ("127.0.0.1:4318", InvalidEndpoint::Scheme),
            ("collector", InvalidEndpoint::Scheme),
            ("grpc://collector:4317", InvalidEndpoint::Scheme),
            ("http://collector:0", InvalidEndpoint::Port),
            ("http://collector:", InvalidEndpoint::Port),
            ("http://collector:65536", InvalidEndpoint::Port),
            ("http://ola:hemmelig@collector", InvalidEndpoint::Credentials),
            ("http://collector/?key=hemmelig", InvalidEndpoint::Query),
            ("http://collector/#a", InvalidEndpoint::Query),
        ] {
            let found = text.parse::<Endpoint>();
            assert_eq!(found, Err(error), "{text}");
            assert!(!error.to_string().contains("hemmelig"));
        }
    }

    #[test]
    fn brackets_are_for_urls_only() {
        let endpoint: Endpoint = "http://[::1]:4318".parse().unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("::1", 4318));
        assert_eq!(endpoint.join(""), "http://[::1]:4318/");
    }
}
