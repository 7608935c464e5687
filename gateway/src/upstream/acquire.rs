//! A connection for one try: one that is there, one that another request is making, or a new one.

use std::rc::Rc;

use tokio::time::timeout;

use super::client::Client;
use super::connect::Connected;
use super::connection::{Connection, Http1, Http2, WatchedStream};
use super::pool::{Connecting, EndpointPool};
use super::report::Recorder;
use super::service::Upstream;
use crate::error::{Error, ErrorKind};
use crate::model::UpstreamProtocol;
use crate::sanitize::safe;

/// Which connections may carry a request.
#[derive(Clone, Copy)]
pub(super) enum Freshness {
    Any,
    /// After one has died under it: new ones, and HTTP/2 ones that were made after this many.
    MadeAfter(u64),
}

/// A connection, and whether it was there before.
pub(super) struct Acquired {
    pub(super) connection: Connection,
    pub(super) reused: bool,
}

/// There is no connection.
pub(super) struct ConnectError {
    pub(super) error: Error,
    /// It was another request that tried to make one, and has counted that. This one only waited.
    pub(super) waited: bool,
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self { error, waited: false }
    }
}

/// A connection to the pool's endpoint.
pub(super) async fn acquire(
    client: &Client,
    upstream: &Upstream,
    pool: &Rc<EndpointPool>,
    freshness: Freshness,
    record: &Recorder<'_>,
) -> Result<Acquired, ConnectError> {
    let after = match freshness {
        Freshness::Any => {
            if let Some(connection) = pool.checkout() {
                record.connected(true, false);
                return Ok(Acquired { connection, reused: true });
            }
            0
        }
        Freshness::MadeAfter(number) => number,
    };
    let multiplexes = upstream.config.protocol == UpstreamProtocol::Http2 || pool.multiplexes.get();
    let permit = if multiplexes {
        // Others may be making what this one can share; one who was cancelled leaves that to the next.
        loop {
            // Also a request that is sent again takes what others have just made.
            if let Some(permit) = pool.stream(after) {
                record.connected(true, true);
                return Ok(Acquired { connection: Connection::Http2(permit), reused: true });
            }
            let Some(connecting) = pool.connecting.borrow().clone() else { break };
            connecting.done.notified().await;
            if let Some(error) = connecting.error.borrow().clone() {
                return Err(ConnectError { error, waited: true });
            }
        }
        Some(ConnectPermit::new(pool))
    } else {
        None
    };
    record.connecting(pool);
    // Apart, so that requests which find a connection don't carry the room that making one takes.
    let made = Box::pin(connect(client, upstream, pool, record)).await;
    match (made, permit) {
        (Ok(connection), _) => {
            record.connected(false, true);
            Ok(Acquired { connection, reused: false })
        }
        (Err(error), permit) => {
            if let Some(permit) = permit {
                permit.failed(error.clone());
            }
            Err(error.into())
        }
    }
}

/// Makes a connection, which an HTTP/2 one shares with others from then on.
async fn connect(
    client: &Client,
    upstream: &Upstream,
    pool: &EndpointPool,
    record: &Recorder<'_>,
) -> Result<Connection, Error> {
    let limit = upstream.config.timeouts.connect;
    let made = async {
        let Connected { transport, http2 } =
            upstream.connector.connect(&pool.endpoint, || record.tcp_connected()).await?;
        let stream = WatchedStream::new(transport, pool.metrics.clone());
        pool.multiplexes.set(http2);
        if http2 {
            let connection = Http2::new(&client.http2, stream, &client.memory).await?;
            let closed = || Error::new(ErrorKind::Connect, "the connection was closed at once");
            pool.share(connection).map(Connection::Http2).ok_or_else(closed)
        } else {
            Ok(Connection::Http1(Http1::new(stream)))
        }
    };
    timeout(limit, made).await.unwrap_or_else(|_| {
        let detail = safe!("no connection to ", pool.endpoint.address(), " within ", limit);
        Err(Error::new(ErrorKind::ConnectTimeout, detail))
    })
}

/// The right to make the connection that others wait for; given up also when the request is cancelled.
struct ConnectPermit<'a> {
    pool: &'a EndpointPool,
    connecting: Rc<Connecting>,
}

impl<'a> ConnectPermit<'a> {
    fn new(pool: &'a EndpointPool) -> Self {
        let connecting = Rc::new(Connecting::default());
        *pool.connecting.borrow_mut() = Some(connecting.clone());
        Self { pool, connecting }
    }

    /// Those who wait shall not all try the same in turn.
    fn failed(self, error: Error) {
        *self.connecting.error.borrow_mut() = Some(error);
    }
}

impl Drop for ConnectPermit<'_> {
    fn drop(&mut self) {
        *self.pool.connecting.borrow_mut() = None;
        self.connecting.done.notify_waiters();
    }
}
