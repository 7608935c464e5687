//! Types shared by every module that touches a message: bodies, header rules, canonical targets.

mod body;
pub mod headers;
pub mod normalize;
mod request_body;

pub use body::Body;
pub use request_body::{RequestBody, RequestProgress};
