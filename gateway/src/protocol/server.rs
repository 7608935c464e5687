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
    /// Where answers are made.
    pub(super) answers: Answers<H::Answer>,
    /// Whether a CONNECT may take over the stream that it came on. Off: nothing that serves requests makes use of it yet.
    pub(super) tunnels: bool,
}

impl<H: Handler> Server<H> {
    /// What a worker serves its connections with.
    pub fn new(connections: Rc<Connections>, memory: Rc<Credit>, handler: H) -> Self {
        Self { connections, memory, handler, answers: Answers::default(), tunnels: false }
    }
}
