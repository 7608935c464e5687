//! What a request needs of the worker that serves it, below the pipeline: what is in force, connections to upstreams,
//! counters, the log, and the end of an exchange. The worker's thread and its loop stand above and fill this in.

mod completion;
mod services;
mod snapshot;
mod spans;
mod tracing;
mod unshared;

pub use completion::{Completion, note};
pub use services::Services;
pub use snapshot::{RouteHandle, SnapshotBuilder, WorkerSnapshot};
pub use spans::WorkerSpans;
pub use tracing::WorkerTracing;
