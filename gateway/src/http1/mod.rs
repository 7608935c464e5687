//! HTTP/1.1 as bytes (RFC 9112), whatever carries them: heads are parsed and written, bodies are framed, both ways.
//!
//! Requests are read strictly: whatever two parties could read in two ways is refused. Responses are read as RFC 9112 section
//! 5.1 and the servers that exist ask for, and leave in one form.

mod chunked;
mod decoder;
mod encode;
mod framing;
mod head;
mod incoming;
mod lines;
mod outgoing;
mod writer;

pub use chunked::Decoded;
pub use decoder::BodyDecoder;
pub use encode::{request_line, status_line, write_fields};
pub use framing::{BodyLength, request_length, response_length};
pub use head::{RequestHead, ResponseHead, parse_fields, parse_request, parse_response};
pub use incoming::Incoming;
pub use lines::{Found, HeadLimits, Section};
pub use outgoing::Outgoing;
pub use writer::{AHEAD, BodyWriter, WriteError};

/// How much may be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Of what clients send: in one way only.
    Strict,
    /// Of what servers send: a line may end without CR, and blanks may stand before a colon and behind the size of a chunk.
    Tolerant,
}

/// Whether it may stand in a token (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is not HTTP/1, or could be read in two ways. What is wrong, in words.
    Syntax(&'static str),
    /// A version that is not HTTP/1.
    Version,
    /// Its target is longer than any that is served: 64 KiB.
    TargetTooLong,
    /// More bytes or fields than are allowed.
    TooLarge,
}

impl Malformed {
    /// What is wrong, in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syntax(text) => text,
            Self::Version => "the version is not HTTP/1",
            Self::TargetTooLong => "the target is longer than 64 KiB",
            Self::TooLarge => "the head has more fields or bytes than are allowed",
        }
    }
}
