//! Copies of a configuration's parts for one worker. What every request clones must not be shared with other workers:
//! they would fight over its count of references.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::config::model::{FixedResponse, HeaderEdits, Route, RouteAction};

/// A route with names, header fields and values of its own.
pub(super) fn route(shared: &Route) -> Route {
    Route {
        name: Arc::from(&*shared.name),
        action: match &shared.action {
            RouteAction::Upstream(name) => RouteAction::Upstream(Arc::from(&**name)),
            RouteAction::Respond(fixed) => {
                RouteAction::Respond(FixedResponse { content_type: value(&fixed.content_type), ..fixed.clone() })
            }
            RouteAction::Redirect(redirect) => RouteAction::Redirect(redirect.clone()),
        },
        request_headers: edits(&shared.request_headers),
        response_headers: edits(&shared.response_headers),
        ..shared.clone()
    }
}

fn edits(shared: &HeaderEdits) -> HeaderEdits {
    HeaderEdits {
        remove: shared.remove.clone(),
        set: shared.set.iter().map(|(name, text)| (self::name(name), value(text))).collect(),
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

    #[test]
    fn copies_equal_what_they_were_made_of_and_share_nothing() {
        let shared = HeaderEdits {
            remove: vec![HeaderName::from_static("x-gone")],
            set: vec![(HeaderName::from_bytes(b"x-set").unwrap(), HeaderValue::from_str("here").unwrap())],
        };
        let own = edits(&shared);
        assert_eq!(own, shared);
        assert_ne!(own.set[0].1.as_bytes().as_ptr(), shared.set[0].1.as_bytes().as_ptr());
        assert_ne!(own.set[0].0.as_str().as_ptr(), shared.set[0].0.as_str().as_ptr());
    }
}
