//! What the connections of a listener share, and the requests of a connection.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::decode::Decoder;
use super::peer::Peer;
use crate::handler::Handler;
use crate::listener::tcp::ConnectionLimit;
use crate::memory::ReceiveWindow;
use crate::model::Listener;
use crate::protocol::activity::Group;
use crate::protocol::server::Server;
use crate::telemetry::metrics::ListenerMetrics;

/// What the connections of a listener share, until a reload gives later ones other settings.
pub(super) struct ListenerContext<H: Handler> {
    pub(super) listener: Arc<Listener>,
    pub(super) local: SocketAddr,
    pub(super) limit: ConnectionLimit,
    pub(super) metrics: ListenerMetrics,
    pub(super) group: Rc<Group>,
    /// Handshakes under way.
    pub(super) handshakes: Rc<Cell<usize>>,
    pub(super) server: Rc<Server<H>>,
}

/// What the requests of a connection share.
pub(super) struct Connection<H: Handler> {
    pub(super) listener: Rc<ListenerContext<H>>,
    pub(super) peer: Rc<Peer>,
    pub(super) decoder: Rc<Decoder>,
    /// What the client may send unread.
    pub(super) window: Rc<ReceiveWindow>,
    /// What of responses waits for it.
    pub(super) send_window: Rc<ReceiveWindow>,
}
