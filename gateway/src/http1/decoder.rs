//! A body as it comes from a connection, whatever frames it.

use bytes::BytesMut;

use super::chunked::{ChunkedDecoder, Decoded};
use super::lines::HeadLimits;
use super::{BodyLength, Malformed, Reading};

/// Takes the pieces of one body from what has come.
#[derive(Clone, Debug)]
pub enum BodyDecoder {
    /// So many bytes are to come.
    Exact(u64),
    /// It ends with its last chunk.
    Chunked(ChunkedDecoder),
    /// It ends with the connection.
    UntilClose,
}

impl BodyDecoder {
    /// For a body of this length. `limits` are those of its trailers.
    pub const fn new(length: BodyLength, reading: Reading, limits: HeadLimits) -> Self {
        match length {
            BodyLength::Exact(length) => Self::Exact(length),
            BodyLength::Chunked => Self::Chunked(ChunkedDecoder::new(reading, limits)),
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    /// Whether its end has been read.
    pub const fn is_ended(&self) -> bool {
        match self {
            Self::Exact(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_ended(),
            Self::UntilClose => false,
        }
    }

    /// Bytes that are to come, where that is known.
    pub const fn left(&self) -> Option<u64> {
        match self {
            Self::Exact(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Whether the connection's end is the body's, and not a cut.
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Takes the next part of the body from what has come.
    ///
    /// # Errors
    /// Where its chunks are malformed.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        match self {
            Self::Exact(0) => Ok(Decoded::End(None)),
            Self::Exact(_) | Self::UntilClose if buffer.is_empty() => Ok(Decoded::Partial),
            Self::Exact(left) => {
                let count = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= count as u64;
                Ok(Decoded::Data(buffer.split_to(count).freeze()))
            }
            Self::UntilClose => Ok(Decoded::Data(buffer.split().freeze())),
            Self::Chunked(decoder) => decoder.decode(buffer),
        }
    }
}
