//! The heads of messages as protocols and upstreams hand them over.

use http::{Method, StatusCode, Uri, Version, request};

use super::{Body, ConnectProtocol, FieldMap};
use crate::sensitive::Sensitive;

/// The head of a request as it came.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Sensitive<Method>,
    /// The target in the form that it was sent in.
    pub target: Sensitive<Uri>,
    /// The version that the request was sent in.
    pub version: Version,
    /// Its fields, as they were sent.
    pub fields: FieldMap,
    /// What it asks for beside its method: of an extended CONNECT alone.
    pub protocol: Option<ConnectProtocol>,
}

/// Without a `:protocol`, which each library keeps in a type of its own.
impl From<request::Parts> for Head {
    fn from(parts: request::Parts) -> Self {
        let request::Parts { method, uri, version, headers, .. } = parts;
        Self { method: method.into(), target: uri.into(), version, fields: headers.into(), protocol: None }
    }
}

/// A response, whatever it came over and whatever it goes out over.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: FieldMap,
    /// Its body.
    pub body: Body,
}

impl Response {
    /// A response of status 200 without fields.
    pub const fn new(body: Body) -> Self {
        Self { status: StatusCode::OK, fields: FieldMap::new(), body }
    }
}
