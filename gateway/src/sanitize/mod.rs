//! The one place where what came from a client, an upstream or a secret becomes text that somebody reads: access log, spans,
//! messages. It cuts, masks or leaves out, by what the operator has named.
//!
//! Everywhere else such values are of types that can't be printed ([`Sensitive`], [`crate::message::FieldValue`]), and texts
//! that leave are made of what may leave ([`SafeText`]).

mod address;
mod libraries;
mod path;
mod safe;
mod words;

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderName, Method};

pub use self::libraries::Variant;
pub use self::safe::{Configured, Safe, SafeText};
pub(crate) use self::safe::{as_displayed, safe};
pub use self::words::{Texts, own_words};
use crate::model::Disclosure;
use crate::sensitive::Sensitive;

/// Stands in the place of a method that HTTP does not define: OpenTelemetry's `http.request.method` has the same word.
pub const OTHER_METHOD: &str = "_OTHER";

/// Turns values into text by the rules of one output.
#[derive(Clone, Debug, Default)]
pub struct Sanitizer {
    include: Disclosure,
}

impl Sanitizer {
    /// Of an output that shows what this names.
    pub fn new(include: &Disclosure) -> Self {
        Self { include: include.clone() }
    }

    /// A client's address: whole where that is named, otherwise without what tells one subscriber from another.
    pub fn address(&self, address: &Sensitive<IpAddr>) -> IpAddr {
        let address = *address.expose();
        if self.include.full_address { address.to_canonical() } else { address::cut(address) }
    }

    /// A path: whole where that is named, otherwise with `***` for segments that look like personal data.
    pub fn path<'a>(&self, path: Sensitive<&'a str>) -> Cow<'a, str> {
        let path = path.into_exposed();
        if self.include.full_path { path.into() } else { path::masked(path) }
    }

    /// Whether queries are shown: where the path is named.
    pub const fn shows_query(&self) -> bool {
        self.include.full_path
    }

    /// A query, where it is shown.
    pub fn query<'a>(&self, query: Option<Sensitive<&'a str>>) -> Option<&'a str> {
        query.filter(|_| self.shows_query()).map(Sensitive::into_exposed)
    }

    /// A method: the word of a known one.
    pub fn method(&self, method: &Sensitive<Method>) -> &'static str {
        known_method(method.expose())
    }

    /// The request header fields that are shown.
    pub fn request_headers(&self) -> &[HeaderName] {
        &self.include.request_headers
    }
}

/// The methods of RFC 9110 and PATCH (RFC 5789) by their names, [`OTHER_METHOD`] for all others.
pub fn known_method(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::CONNECT,
        Method::TRACE,
    ];
    const NAMES: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.iter().position(|known| known == method).map_or(OTHER_METHOD, |at| NAMES[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_http_does_not_define_are_not_repeated() {
        let sanitizer = Sanitizer::default();
        for (method, shown) in [("GET", "GET"), ("PATCH", "PATCH"), ("get", "_OTHER"), ("KARI", "_OTHER")] {
            assert_eq!(sanitizer.method(&Sensitive::new(method.parse().unwrap())), shown);
        }
    }
}
