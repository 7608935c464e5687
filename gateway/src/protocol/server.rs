//! What the connections of a worker are served with, whatever they speak.

use std::rc::Rc;

use super::answers::Answers;
use super::connections::Connections;
use crate::handler::Handler;
use crate::memory::Credit;

/// What the connections of a worker are served with.
pub struct Server<H: Handler> {
    /// All of them, for their time limits and their end.
    pub connections: Rc<Connections>,
    /// Where it counts what peers may send unread, and what waits for them.
    pub memory: Rc<Credit>,
    /// Answers the requests.
    pub handler: H,
    /// Whether the handler knows what to do with a tunnel: only then are tunnels offered to it, and RFC 8441 to clients.
    pub(super) tunnels: bool,
    /// Where answers are made.
    pub(super) answers: Answers<H::Answer>,
}

impl<H: Handler> Server<H> {
    /// What a worker serves its connections with.
    pub fn new(connections: Rc<Connections>, memory: Rc<Credit>, handler: H) -> Self {
        Self { connections, memory, handler, tunnels: false, answers: Answers::default() }
    }

    /// The same, with a handler that can use [`Inbound::upgrade`](crate::handler::Inbound::upgrade).
    #[must_use]
    pub fn with_tunnels(self) -> Self {
        Self { tunnels: true, ..self }
    }
}
