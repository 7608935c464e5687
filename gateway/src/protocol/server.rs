//! What the connections of a worker are served with, whatever they speak.

use std::rc::Rc;

use super::connections::Connections;
use crate::memory::Credit;

/// What the connections of a worker are served with.
pub struct Server<H> {
    /// All of them, for their time limits and their end.
    pub connections: Rc<Connections>,
    /// Where it counts what peers may send unread, and what waits for them.
    pub memory: Rc<Credit>,
    /// Answers the requests.
    pub handler: H,
}
