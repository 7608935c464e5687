//! The QUIC endpoint of one worker.
//!
//! Each worker has a socket and a quinn endpoint of its own; the kernel hands datagrams out by their four-tuple, and those
//! of a client whose address has changed come back to their worker by `steering`.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use quinn::{IdleTimeout, Runtime as _, TransportConfig, VarInt};

use super::steering::WorkerSteering;
use crate::memory::{Credit, ReceiveWindow};
use crate::model::ListenerLimits;

/// Bytes that a client may send on one stream before we read them.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes of responses per connection that wait for the client's acknowledgement.
const SEND_WINDOW: u64 = 1024 * 1024;
/// Control stream, two of QPACK, and some that a client may send as grease (RFC 9114 section 6.2).
const UNI_STREAMS: u32 = 8;
/// Requests that a client may begin with at a time (RFC 9114 section 6.1 asks for 100 at least): quinn has tables with a row for
/// each that may come, of 11 KiB for 128 and half of that for these.
pub const FIRST_STREAMS: u32 = 100;

/// How much a client may send over one connection unread.
pub fn window(memory: &Rc<Credit>) -> Rc<ReceiveWindow> {
    ReceiveWindow::new(memory.clone(), STREAM_WINDOW as usize, CONNECTION_WINDOW as usize)
}

/// How much of responses waits in one connection for a client that does not take it.
pub fn send_window(memory: &Rc<Credit>) -> Rc<ReceiveWindow> {
    ReceiveWindow::new(memory.clone(), SEND_WINDOW as usize, SEND_WINDOW as usize)
}

/// The transport's limits around a TLS configuration.
pub(super) fn server_config(
    crypto: Arc<dyn quinn::crypto::ServerConfig>,
    limits: &ListenerLimits,
) -> quinn::ServerConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams.min(FIRST_STREAMS)))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        // A timeout too large for QUIC's integers means none at all. It is there for clients that have vanished: those
        // whose streams are silent answer a PING in time, and those without a request are told to go.
        .max_idle_timeout(IdleTimeout::try_from(limits.idle_timeout).ok())
        .keep_alive_interval(Some(limits.idle_timeout / 3))
        .datagram_receive_buffer_size(None);
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    // On by default: a client may come from another address once it has shown that it is there (RFC 9000 section 9).
    config.transport_config(Arc::new(transport));
    config
}

/// Starts the endpoint on its worker; must be called inside the worker's runtime.
pub fn endpoint(
    socket: std::net::UdpSocket,
    steering: WorkerSteering,
    config: quinn::ServerConfig,
) -> io::Result<quinn::Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let (endpoint, socket) = steering.take(runtime.wrap_udp_socket(socket)?);
    quinn::Endpoint::new_with_abstract_socket(endpoint, Some(config), socket, runtime)
}
