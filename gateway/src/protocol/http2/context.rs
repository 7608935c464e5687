//! What the requests of a connection share, and how they are answered to h2.

use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use super::trailers::Malformed;
use super::unsent::Unsent;
use crate::exchange::ConnectionInfo;
use crate::handler::Handler;
use crate::memory::ReceiveWindow;
use crate::message::FieldMap;
use crate::protocol::activity::Activity;
use crate::protocol::allowance::Allowance;
use crate::protocol::server::Server;

/// What all requests of a connection need.
pub(super) struct Connection<H: Handler> {
    pub(super) server: Rc<Server<H>>,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) activity: Rc<Activity>,
    /// What the client may send unread.
    pub(super) window: Rc<ReceiveWindow>,
    /// What of the responses waits to be written.
    pub(super) unsent: Rc<Unsent>,
    /// What the client may send that is neither a request nor a part of one.
    pub(super) allowance: Rc<Allowance>,
    /// What of its trailers is malformed and h2 lets pass.
    pub(super) malformed: Rc<Malformed>,
}

/// The head of a response, or of one before it.
pub(super) fn head_of(status: StatusCode, fields: FieldMap) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = fields.into_map();
    head
}
