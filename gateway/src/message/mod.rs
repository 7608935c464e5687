//! Types shared by every module that touches a message: bodies, header rules, canonical targets.

mod barred;
mod body;
pub mod content;
mod detached;
mod fields;
mod head;
pub mod headers;
mod interim;
mod merged;
pub mod normalize;
mod request_body;
mod tunnel;

pub use barred::BarredTrailers;
pub use body::{Body, Metered};
pub use detached::Detached;
#[cfg(test)]
pub(crate) use fields::known_texts;
pub use fields::{
    AsFieldName, AsFieldValue, FieldMap, FieldName, FieldValue, IntoFieldName, KnownName, KnownNames, ReceivedFields,
    known,
};
pub use head::{Head, Response};
pub use interim::{Interim, InterimQueue, WriteInterim};
pub use merged::Merged;
pub use request_body::{RequestBody, RequestProgress};
pub use tunnel::{ByteStream, ConnectProtocol, OnUpgrade, Tunnel};
