//! `CDN-Loop` (RFC 8586): how often a request has passed gateways of this name, so that one that comes back again and
//! again ends, whoever sends it: an upstream that leads here, or a plugin that calls its own gateway.
//!
//! The field is taken off when a request comes and set anew when one leaves. Plugins neither see it nor write it: `Via`
//! says the same, but that they may change.

use bytes::Bytes;
use http::HeaderValue;

use super::members;
use crate::message::{FieldMap, known};
use crate::sensitive::Sensitive;

/// Where a request has been.
#[derive(Clone, Debug)]
pub struct Hops {
    /// How often it has passed a gateway of this name.
    pub passed: usize,
    /// The field as it came, for the few that have one.
    before: Option<Box<Sensitive<HeaderValue>>>,
    /// What this gateway adds, its name.
    own: &'static HeaderValue,
}

impl Hops {
    /// Of a request without the field.
    pub const fn new(own: &'static HeaderValue) -> Self {
        Self { passed: 0, before: None, own }
    }

    /// Takes the field off a request.
    pub fn take(headers: &mut FieldMap, own: &'static HeaderValue) -> Self {
        let all: Vec<&[u8]> = members(headers, &known::CDN_LOOP).collect();
        // What follows a name tells nothing here (RFC 8586 section 2: parameters).
        let name =
            |member: &'_ &[u8]| member.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii).map(<[u8]>::to_vec);
        let passed = all.iter().filter_map(name).filter(|name| name.eq_ignore_ascii_case(own.as_bytes())).count();
        let before = HeaderValue::from_maybe_shared(Bytes::from(all.join(&b", "[..]))).ok();
        headers.remove(known::CDN_LOOP);
        Self { passed, before: before.filter(|value| !value.is_empty()).map(|value| Box::new(value.into())), own }
    }

    /// The field for a request that leaves on behalf of this one. Nothing of what came is left out (RFC 8586 section 2).
    pub fn next(&self) -> HeaderValue {
        let Some(before) = &self.before else { return self.own.clone() };
        let value = [before.expose().as_bytes(), b", ", self.own.as_bytes()].concat();
        HeaderValue::from_maybe_shared(Bytes::from(value)).unwrap_or_else(|_| self.own.clone())
    }
}

impl Default for Hops {
    /// Of a request that comes from nowhere.
    fn default() -> Self {
        static OWN: HeaderValue = HeaderValue::from_static("gateway");
        Self::new(&OWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(fields: &[&'static str]) -> (usize, String) {
        let mut headers = FieldMap::new();
        fields.iter().for_each(|value| headers.append(known::CDN_LOOP, HeaderValue::from_static(value)));
        let hops = Hops::take(&mut headers, Hops::default().own);
        assert!(headers.is_empty(), "nobody behind this sees it");
        (hops.passed, hops.next().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_tells_how_often_it_was_here() {
        assert_eq!(pass(&[]), (0, "gateway".to_owned()));
        assert_eq!(pass(&["gateway"]), (1, "gateway, gateway".to_owned()));
        assert_eq!(pass(&["foo; a=\"b\", Gateway;x=1", "gateway"]).0, 2);
        assert_eq!(pass(&["gateways, a gateway"]), (0, "gateways, a gateway, gateway".to_owned()));
        assert_eq!(pass(&[" , "]), (0, "gateway".to_owned()));
    }
}
