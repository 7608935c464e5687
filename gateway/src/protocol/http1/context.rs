//! What the requests of a connection share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::channel::Channel;
use crate::exchange::ConnectionInfo;
use crate::handler::Handler;
use crate::http1::HeadLimits;
use crate::memory::ReceiveWindow;
use crate::protocol::activity::Activity;
use crate::protocol::server::Server;

/// What all requests of a connection need.
pub(super) struct Connection<S, H: Handler> {
    pub(super) server: Rc<Server<H>>,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) activity: Rc<Activity>,
    pub(super) channel: Rc<Channel<S>>,
    /// What the client may send unread.
    pub(super) window: Rc<ReceiveWindow>,
    pub(super) limits: HeadLimits,
    /// How many requests there were: none, one, or more.
    pub(super) asked: Cell<u8>,
}
