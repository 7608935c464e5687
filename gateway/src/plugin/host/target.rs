//! Where a plugin may send a request: only to what the router could have made of a client's.

use http::Method;
use http::uri::PathAndQuery;
use plugin_rules::target;

pub(crate) use plugin_rules::target::replacement as canonical_target;

use super::fields::FieldError;
use crate::exchange::Exchange;

/// The form that the router would have given a client's authority.
pub(crate) fn canonical_authority(authority: &str) -> Option<String> {
    target::authority(authority).ok()
}

/// `http.set-target`. All is checked before anything is changed.
pub(crate) fn retarget(
    exchange: &mut Exchange,
    method: Option<String>,
    authority: Option<String>,
    path: Option<String>,
) -> Result<(), FieldError> {
    if exchange.request.sent {
        return Err(FieldError::TooLate);
    }
    let method = method
        .map(|method| {
            target::check_method(&method)?;
            Method::from_bytes(method.as_bytes()).map_err(|_| FieldError::InvalidValue)
        })
        .transpose()?;
    let authority = authority.map(|text| canonical_authority(&text).ok_or(FieldError::InvalidValue)).transpose()?;
    let current = exchange.request.path_and_query.expose();
    let parsed = |text: String| PathAndQuery::try_from(canonical_target(&text, current.as_str())?).ok();
    let path = path.map(|text| parsed(text).ok_or(FieldError::InvalidValue)).transpose()?;
    exchange.request.retarget(method, authority, path);
    Ok(())
}
