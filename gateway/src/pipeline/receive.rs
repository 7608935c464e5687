//! What a request is made of before anything is done with it.

use std::sync::Arc;
use std::time::Instant;

use http::Version;
use http::uri::PathAndQuery;

use crate::error::{Error, ErrorKind};
use crate::exchange::{ConnectionInfo, Edits, Exchange, RequestHead};
use crate::memory::Exhausted;
use crate::message::headers::{self, Arrival};
use crate::message::{Head, normalize};
use crate::sensitive::Sensitive;
use crate::serving::{Services, WorkerSnapshot};

/// Makes the exchange of a request: canonical target, end-to-end header fields only, the client's address. A request
/// that is refused still gets an exchange, for its log record.
pub(super) fn receive(
    services: &Services,
    snapshot: &WorkerSnapshot,
    connection: Arc<ConnectionInfo>,
    arrived: Instant,
    head: Head,
) -> (Box<Exchange>, Result<(), Error>) {
    let Head { method, target, version, mut fields, protocol: _ } = head;
    let streamed = version >= Version::HTTP_2;
    let checked = headers::check_framing(version, &fields)
        .and_then(|()| headers::check_upgrade(version, &fields))
        .and_then(|()| normalize::target(method.expose(), target.expose(), &fields, version));
    // Checked piece by piece, counted as one.
    headers::join_cookies(&mut fields);
    let (authority, path_and_query, mut accepted) = match checked {
        Ok(target) => (target.authority, target.path_and_query, Ok(())),
        Err(error) => (Sensitive::default(), PathAndQuery::from_static("/").into(), Err(error)),
    };
    if accepted.is_ok() && services.in_flight.get() >= snapshot.requests_limit {
        accepted = Err(Error::new(ErrorKind::Overload, "too many requests in flight on this worker"));
    }
    if accepted.is_ok() && services.memory.is_overdrawn() {
        accepted = Err(Exhausted.into());
    }
    if accepted.is_ok() && fields.len() > connection.max_fields {
        accepted = Err(Error::new(ErrorKind::HeadersTooLarge, "more header fields than the listener allows"));
    }
    if accepted.is_ok() && streamed && headers::size(method.expose(), target.expose(), &fields) > connection.max_head {
        accepted = Err(Error::new(ErrorKind::HeadersTooLarge, "a larger head than the listener allows"));
    }
    let arrival = Arrival {
        version,
        peer: connection.peer.map(|peer| peer.ip()),
        peer_value: &connection.peer_value,
        tls: connection.tls,
        authority: authority.as_deref(),
    };
    let received = snapshot.rules.receive(&mut fields, &arrival);
    if accepted.is_ok() && snapshot.rules.is_loop(&received.hops) {
        accepted =
            Err(Error::new(ErrorKind::Loop, "the request has passed this gateway too often (forwarding.max_hops)"));
    }
    let tracing = snapshot.tracing.as_ref();
    let trace = tracing.map(|tracing| tracing.begin(&mut fields, received.trusted, arrived));
    let mut request = RequestHead::new(
        method.into_exposed(),
        received.scheme,
        authority.into_exposed(),
        path_and_query.into_exposed(),
        fields,
    );
    request.edits = Edits::of(received.listed, received.odd_names);
    let mut exchange = Box::new(Exchange::of(arrived, received.id, connection, received.client, request));
    exchange.hops = received.hops;
    exchange.trace = trace;
    (exchange, accepted)
}
