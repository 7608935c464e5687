//! The time limit of an exchange, and whose fault it is when that passes.

use std::pin::Pin;
use std::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::serving::{Completion, Services};
use crate::timer;

/// Bounds a part of the exchange by the route's request timeout.
pub(super) async fn within<T>(
    services: &Services,
    deadline: Option<Instant>,
    part: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else { return part.await };
    let passed = || Err(Error::new(ErrorKind::ExchangeTimeout, "the route's request timeout passed"));
    timer::until(&services.client.timers, deadline, part).await.unwrap_or_else(passed)
}

/// What a failure means that came while the request's body may have been on its way: the client's own mistake explains
/// it best, and a timeout of the whole exchange is its fault while the gateway waits for the rest of its request.
pub(super) fn explain(completion: &Completion, error: Error) -> Error {
    let Some(request) = &completion.request else { return error };
    if let Some(mistake) = request.error.borrow().clone() {
        return mistake;
    }
    match error.kind() {
        ErrorKind::ExchangeTimeout if request.awaiting_client.get() => Error::new(
            ErrorKind::RequestTimeout,
            "the client had not sent its whole body when the route's timeout passed",
        ),
        _ => error,
    }
}
