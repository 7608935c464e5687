//! The types of the crate `http` for what the SDK has in texts and bytes: for code that is shared with servers and clients, and
//! for crates that speak them. With the feature `http`, which is off unless a plugin asks for it.
//!
//! ```
//! use plugin_sdk::http::{HeaderValue, Method, header::{COOKIE, VARY}};
//! use plugin_sdk::{Exchange, FieldError};
//!
//! fn without_cookies(exchange: &Exchange) -> Result<(), FieldError> {
//!     let request = exchange.request();
//!     if request.http_method() == Method::GET {
//!         let mut fields = request.header_map();
//!         fields.remove(COOKIE);
//!         fields.append(VARY, HeaderValue::from_static("accept"));
//!         request.set_header_map(&fields)?;
//!     }
//!     Ok(())
//! }
//! # let _ = without_cookies;
//! ```

use ::http::uri::Builder;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};

use crate::calls::Answer;
use crate::exchange::{Request, Response};
use crate::fields::{FieldError, Fields};
use crate::{LocalResponse, raw};

/// What the host gives is of HTTP; a test may have made it up.
fn valid<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn append(to: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), ::http::Error> {
    to.try_append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value)?)?;
    Ok(())
}

fn map_of(fields: &[(String, Vec<u8>)]) -> Result<HeaderMap, ::http::Error> {
    let mut map = HeaderMap::with_capacity(fields.len());
    fields.iter().try_for_each(|(name, value)| append(&mut map, name, value))?;
    Ok(map)
}

fn list_of(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

impl Fields<'_> {
    /// All fields, as [`Fields::headers`]. A copy: what is changed there is only changed here by [`Fields::set_header_map`].
    pub fn header_map(&self) -> HeaderMap {
        valid("a field that HTTP does not have", map_of(&self.headers()))
    }

    /// Makes the fields what the map says: sets what differs, and removes what is not in it. What is the same stays untouched, so a
    /// map of [`Fields::header_map`] may have fields in it that are the gateway's alone.
    ///
    /// # Errors
    /// Of the first change that is refused. Those before it were made, those after it not.
    pub fn set_header_map(&self, map: &HeaderMap) -> Result<(), FieldError> {
        let there = self.header_map();
        for name in there.keys().filter(|name| !map.contains_key(*name)) {
            self.remove_header(name.as_str())?;
        }
        let differs = |name: &&HeaderName| !map.get_all(*name).iter().eq(there.get_all(*name).iter());
        for name in map.keys().filter(differs) {
            let mut values = map.get_all(name).iter();
            if let Some(first) = values.next() {
                self.set_header(name.as_str(), first)?;
            }
            values.try_for_each(|value| self.append_header(name.as_str(), value))?;
        }
        Ok(())
    }
}

impl Request<'_> {
    /// The method. [`Request::set_method`] takes `method.as_str()`.
    pub fn http_method(&self) -> Method {
        valid("a method that HTTP does not have", Method::from_bytes(self.method().as_bytes()))
    }

    /// Scheme, authority and target. Without an authority (a request of HTTP/1.0) the target alone.
    ///
    /// # Errors
    /// Where the crate `http` takes the target for none, although the gateway does: its paths, for example, are shorter.
    pub fn http_uri(&self) -> Result<Uri, ::http::Error> {
        let (authority, target) = (self.authority(), self.target());
        let uri = if authority.is_empty() {
            Builder::new()
        } else {
            Builder::new().scheme(self.scheme().as_str()).authority(authority)
        };
        uri.path_and_query(target).build()
    }

    /// Sets the target, and the authority where there is one; see [`Request::set_target`]. Both or none of them.
    ///
    /// # Errors
    /// `NotAllowed` for another scheme than the request's: that is of the connection by which the client came. Otherwise as
    /// [`Request::set_target`] and [`Request::set_authority`].
    pub fn set_http_uri(&self, uri: &Uri) -> Result<(), FieldError> {
        if uri.scheme_str().is_some_and(|scheme| scheme != self.scheme()) {
            return Err(FieldError::NotAllowed);
        }
        let target = uri.path_and_query().map(::http::uri::PathAndQuery::as_str);
        let authority = uri.authority().map(::http::uri::Authority::as_str);
        raw::exchange::set_target(self.of, None, authority, target)
    }
}

impl Response<'_> {
    /// The status, where there is a response. [`Response::set_status`] takes `status.as_u16()`.
    pub fn http_status(&self) -> Option<StatusCode> {
        self.status().map(|status| valid("a status that HTTP does not have", StatusCode::from_u16(status)))
    }
}

/// Status, fields and body; nothing else of it goes anywhere.
impl<B: Into<Vec<u8>>> From<::http::Response<B>> for LocalResponse {
    fn from(response: ::http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: list_of(&parts.headers), body: body.into() }
    }
}

/// An error where status, name or value of a field are none of HTTP.
impl TryFrom<LocalResponse> for ::http::Response<Vec<u8>> {
    type Error = ::http::Error;

    fn try_from(of: LocalResponse) -> Result<Self, ::http::Error> {
        built(of.status, &of.headers, of.body)
    }
}

/// An error where the upstream's status is none of HTTP.
impl TryFrom<Answer> for ::http::Response<Vec<u8>> {
    type Error = ::http::Error;

    fn try_from(of: Answer) -> Result<Self, ::http::Error> {
        built(of.status, &of.headers, of.body)
    }
}

fn built(
    status: u16,
    headers: &[(String, Vec<u8>)],
    body: Vec<u8>,
) -> Result<::http::Response<Vec<u8>>, ::http::Error> {
    let mut response = ::http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status)?;
    *response.headers_mut() = map_of(headers)?;
    Ok(response)
}
