//! One worker: a thread with a runtime of its own, its share of every listener's connections, its own upstream
//! connections and plugin instances. Nothing here is shared with another worker on the path of a request.
//!
//! What stands here is above requests: the loop that follows the control thread, the sockets, the calls of plugins. What a
//! request needs of its worker is in `serving`.

mod listen;
mod outbound;
mod thread;

pub use listen::{Share, Socket};
pub use thread::{WorkerCommand, WorkerParts, run};
