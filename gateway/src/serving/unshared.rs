//! Copies of a configuration's parts for one worker. What every request clones must not be shared with other workers:
//! they would fight over its count of references.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::model::{FixedResponse, HeaderEdits, Route, RouteAction};

/// A route with names, header fields, values and a body of its own. Without plugins: what runs is the worker's chain, and
/// their configuration can be large.
pub(super) fn route(shared: &Route) -> Route {
    Route {
        name: Arc::from(&*shared.name),
        matches: shared.matches.clone(),
        plugins: Vec::new(),
        action: match &shared.action {
            RouteAction::Upstream(name) => RouteAction::Upstream(Arc::from(&**name)),
            RouteAction::Respond(fixed) => RouteAction::Respond(FixedResponse {
                status: fixed.status,
                content_type: value(&fixed.content_type),
                body: Bytes::copy_from_slice(&fixed.body),
            }),
            RouteAction::Redirect(redirect) => RouteAction::Redirect(redirect.clone()),
        },
        rewrite_prefix: shared.rewrite_prefix.clone(),
        request_headers: edits(&shared.request_headers),
        response_headers: edits(&shared.response_headers),
        limits: shared.limits.clone(),
        access_log: shared.access_log.clone(),
        tracing: shared.tracing.clone(),
        audit: shared.audit.clone(),
    }
}

fn edits(shared: &HeaderEdits) -> HeaderEdits {
    HeaderEdits {
        remove: shared.remove.clone(),
        set: shared.set.iter().map(|(name, text)| (self::name(name), value(text))).collect(),
        computed: shared.computed.iter().map(|(name, template)| (self::name(name), template.clone())).collect(),
    }
}

// What has been a name or a value is one again.
fn name(shared: &HeaderName) -> HeaderName {
    HeaderName::from_bytes(shared.as_str().as_bytes()).unwrap_or_else(|_| shared.clone())
}

fn value(shared: &HeaderValue) -> HeaderValue {
    let mut own = HeaderValue::from_bytes(shared.as_bytes()).unwrap_or_else(|_| shared.clone());
    own.set_sensitive(shared.is_sensitive());
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Template;

    #[test]
    fn a_fixed_body_is_not_counted_in_common() {
        let fixed = |body: &[u8]| FixedResponse {
            status: http::StatusCode::OK,
            content_type: HeaderValue::from_str("text/plain").unwrap(),
            body: Bytes::copy_from_slice(body),
        };
        let shared = Route {
            name: "r".into(),
            matches: Default::default(),
            plugins: Vec::new(),
            action: RouteAction::Respond(fixed(b"here")),
            rewrite_prefix: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            limits: Default::default(),
            access_log: Default::default(),
            tracing: Default::default(),
            audit: None,
        };
        let own = route(&shared);
        assert_eq!(own, shared);
        let (RouteAction::Respond(own), RouteAction::Respond(shared)) = (own.action, &shared.action) else {
            panic!("another action");
        };
        assert_ne!(own.body.as_ptr(), shared.body.as_ptr());
        assert_ne!(own.content_type.as_bytes().as_ptr(), shared.content_type.as_bytes().as_ptr());
    }

    #[test]
    fn copies_equal_what_they_were_made_of_and_share_nothing() {
        let shared = HeaderEdits {
            remove: vec![HeaderName::from_static("x-gone")],
            set: vec![(HeaderName::from_bytes(b"x-set").unwrap(), HeaderValue::from_str("here").unwrap())],
            computed: vec![(HeaderName::from_bytes(b"x-made").unwrap(), Template(Vec::new()))],
        };
        let own = edits(&shared);
        assert_eq!(own, shared);
        assert_ne!(own.set[0].1.as_bytes().as_ptr(), shared.set[0].1.as_bytes().as_ptr());
        assert_ne!(own.set[0].0.as_str().as_ptr(), shared.set[0].0.as_str().as_ptr());
    }
}
