//! Content codings (RFC 9110 section 8.4): what a message says of them, and the bytes with and without them.
//!
//! Plugins read and write content without codings; whoever runs them takes the codings off and puts one on again. Here is
//! what that takes, without I/O: [`Content`] tells what is to be taken off, a [`Decoder`] does it step by step, each bounded
//! in what it takes, makes and holds; [`Accepted`] tells what a client accepts, and an [`Encoder`] puts that on.

mod accept;
mod aws;
mod br;
mod content;
mod decoder;
mod encoder;
mod inflate;
mod zstandard;

pub use accept::Accepted;
pub use aws::of_the_payload;
pub use content::{Coding, Codings, Content, MAX_CODINGS, READABLE, Unreadable};
pub use decoder::{Bounds, Decoder, FLOOR, Fault, RATIO, STEP, Step};
pub use encoder::Encoder;

#[cfg(test)]
mod tests;
