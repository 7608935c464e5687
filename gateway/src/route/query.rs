//! What a look-up is given.

use http::Method;

use crate::message::FieldMap;
use crate::sensitive::no_content;

/// What is known of a request when its route is looked up.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// In lower case, without port ([`crate::message::normalize::hostname`]).
    pub hostname: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a FieldMap,
}

no_content!(Query<'_>);
