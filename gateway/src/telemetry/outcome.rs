//! Whether an exchange failed, and of what: all signals that tell of one exchange say the same.

use telemetry_export::model::Text;

use crate::error::Failure;
use crate::exchange::Exchange;

/// Whether it failed for a reason that is not the client's: a response of 5xx, one that was cut, or none.
pub(crate) fn has_failed(exchange: &Exchange) -> bool {
    let failed = exchange.failure.is_some_and(|failure| failure != Failure::Cancelled);
    match status(exchange) {
        Some(500..) => true,
        Some(400..) => false,
        Some(_) | None => failed,
    }
}

/// Of what it failed, as OpenTelemetry's `error.type`: the kind of error, or the status. `None` where it did not fail.
pub(crate) fn error_type(exchange: &Exchange) -> Option<Text> {
    if !has_failed(exchange) {
        return None;
    }
    let kind = exchange.error.as_ref().map(|error| Text::Static(error.kind().name()));
    let cause = kind.or_else(|| Some(Text::Owned(status(exchange)?.to_string())));
    Some(cause.unwrap_or(Text::Static("cancelled")))
}

/// The status that the client was sent.
pub(crate) fn status(exchange: &Exchange) -> Option<u16> {
    exchange.response.as_ref().map(|response| response.status.as_u16())
}
