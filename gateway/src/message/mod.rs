//! Types shared by every module that touches a message: bodies, header rules, canonical targets.

mod barred;
mod body;
pub mod content;
mod detached;
pub mod headers;
mod merged;
pub mod normalize;
mod request_body;

pub use barred::BarredTrailers;
pub use body::Body;
pub use detached::Detached;
pub use merged::Merged;
pub use request_body::{RequestBody, RequestProgress};
