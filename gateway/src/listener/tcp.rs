//! Accepts TCP connections on one worker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::bind::BACKLOG;
use crate::sanitize::safe;

/// How long accepting rests when the process or the system has no file descriptor or memory left.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The open connections of a listener, counted over all workers and both transports.
#[derive(Clone, Debug)]
pub struct ConnectionLimit(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    limit: AtomicUsize,
    open: AtomicUsize,
}

impl ConnectionLimit {
    /// At most `limit` connections at a time.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counts { limit: AtomicUsize::new(limit), open: AtomicUsize::new(0) }))
    }

    /// A reload's new limit. Connections above it stay; new ones wait for room.
    pub fn set(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Takes a place; `None` when there is none.
    pub fn acquire(&self) -> Option<ConnectionGuard> {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let taken =
            self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open + 1));
        taken.is_ok().then(|| ConnectionGuard(self.0.clone()))
    }

    /// Whether there is a place.
    pub fn has_room(&self) -> bool {
        self.open() < self.0.limit.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

/// A connection's place under the limit; dropped with the connection.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<Counts>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until `shutdown` becomes true (or its sender is gone), then takes what is already in the queue and closes
/// the socket: the kernel resets connections that are still queued when their socket closes.
///
/// A connection above the limit comes without a guard: dropping the stream closes it, which is cheaper than answering.
pub async fn accept_loop<F>(
    listener: TcpListener,
    limit: ConnectionLimit,
    mut shutdown: watch::Receiver<bool>,
    mut on_connection: F,
) where
    F: FnMut(TcpStream, SocketAddr, Option<ConnectionGuard>),
{
    let mut handle = |stream: TcpStream, peer| {
        let guard = limit.acquire();
        if guard.is_some() {
            let _ = stream.set_nodelay(true);
        }
        on_connection(stream, peer, guard);
    };
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => handle(stream, peer),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = %safe!(error), "accepting connections rests: no file descriptor or memory left");
                tokio::select! {
                    _ = shutdown.wait_for(|stop| *stop) => break,
                    () = tokio::time::sleep(BACK_OFF) => {}
                }
            }
        }
    }
    drain(listener, handle);
}

/// Takes the connections that the kernel has already completed, without waiting for more. As many as its queue holds:
/// clients that connect faster than they are accepted do not keep the worker here.
fn drain(listener: TcpListener, mut handle: impl FnMut(TcpStream, SocketAddr)) {
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..BACKLOG {
        match listener.accept() {
            Ok((stream, peer)) => {
                if stream.set_nonblocking(true).is_ok()
                    && let Ok(stream) = TcpStream::from_std(stream)
                {
                    handle(stream, peer);
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

/// Errors of `accept` that come from the connection that was to be accepted (accept(2), "Error handling").
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn connections_above_the_limit_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = ConnectionLimit::new(1);
        let (stop, stopped) = watch::channel(false);
        let kept = RefCell::new(Vec::new());
        let client = async {
            let _first = TcpStream::connect(address).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            // The second sees its end although nothing was sent.
            assert!(matches!(second.read(&mut [0; 1]).await, Ok(0) | Err(_)));
            assert_eq!(limit.open(), 1);
            stop.send(true).unwrap();
        };
        let serve = accept_loop(listener, limit.clone(), stopped, |stream, _, guard| {
            kept.borrow_mut().extend(guard.map(|guard| (stream, guard)));
        });
        tokio::join!(serve, client);
        kept.borrow_mut().clear();
        assert_eq!(limit.open(), 0);
    }

    #[tokio::test]
    async fn connections_in_the_queue_are_served_at_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _a = TcpStream::connect(address).await.unwrap();
        let _b = TcpStream::connect(address).await.unwrap();
        let (_stop, stopped) = watch::channel(true);
        let count = RefCell::new(0);
        accept_loop(listener, ConnectionLimit::new(10), stopped, |_, _, _| *count.borrow_mut() += 1).await;
        assert_eq!(*count.borrow(), 2);
    }
}
