//! What a client says about QPACK (RFC 9204 section 4) on streams of its own. We offer no dynamic table and use none, so there is
//! next to nothing that it may say; h3 does not look.

use std::rc::Rc;

use h3::error::Code;

use super::frames::{Counts, QpackStream, Violation, fatal};
use super::peer::Peer;

/// The longest rest of an integer: 62 bits, seven at a time.
const REST: u8 = 9;

/// Instructions as they come.
#[derive(Debug)]
pub(crate) struct Instructions {
    stream: QpackStream,
    /// An integer is under way, of which so many bytes have come behind its prefix.
    integer: Option<u8>,
    /// Instructions that came since somebody asked.
    counts: Counts,
}

impl Instructions {
    /// Nothing has come yet.
    pub(crate) const fn new(stream: QpackStream) -> Self {
        Self { stream, integer: None, counts: Counts { useful: 0, control: 0 } }
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// Where it speaks of a dynamic table.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        for &byte in bytes {
            self.counts.control += u32::from(self.integer.is_none());
            self.integer = match (self.integer, self.stream, byte) {
                (Some(length), _, 0x80..) if length < REST => Some(length + 1),
                (Some(_), _, 0x80..) => return Err(self.violation("an integer without an end")),
                (Some(_), _, _) => None,
                // Set Dynamic Table Capacity, to none.
                (None, QpackStream::Encoder, 0b0010_0000) => None,
                (None, QpackStream::Encoder, _) => return Err(self.violation("a dynamic table that was not offered")),
                // Stream Cancellation: of a stream that nothing had to be understood of.
                (None, QpackStream::Decoder, 0b0111_1111) => Some(0),
                (None, QpackStream::Decoder, 0b0100_0000..=0b0111_1110) => None,
                (None, QpackStream::Decoder, _) => {
                    return Err(self.violation("an acknowledgment of what was never sent"));
                }
            };
        }
        Ok(())
    }

    const fn violation(&self, what: &'static str) -> Violation {
        fatal(
            match self.stream {
                QpackStream::Encoder => Code::QPACK_ENCODER_STREAM_ERROR,
                QpackStream::Decoder => Code::QPACK_DECODER_STREAM_ERROR,
            },
            what,
        )
    }
}

/// Reads one of the streams as long as it is there. A violation ends the connection, as does the stream's end (RFC 9204 section
/// 4.2).
pub(super) async fn read(
    mut stream: quinn::RecvStream,
    peer: Rc<Peer>,
    mut instructions: Instructions,
    first: bytes::Bytes,
) {
    let mut taken = instructions.take(&first);
    while taken.is_ok() {
        peer.count(&mut instructions.counts);
        taken = match stream.read_chunk(4 << 10, true).await {
            Ok(Some(chunk)) => instructions.take(&chunk.bytes),
            Ok(None) | Err(quinn::ReadError::Reset(_)) => {
                Err(fatal(Code::H3_CLOSED_CRITICAL_STREAM, "the end of a stream that lasts as long as its connection"))
            }
            Err(_) => return,
        };
    }
    if let Err(violation) = taken {
        peer.close(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(stream: QpackStream, bytes: &[u8]) -> Result<(), Code> {
        let whole = Instructions::new(stream).take(bytes).map_err(|violation| violation.code);
        let mut instructions = Instructions::new(stream);
        let single = bytes.iter().try_for_each(|byte| instructions.take(&[*byte])).map_err(|violation| violation.code);
        assert_eq!(whole, single, "{bytes:?}");
        whole
    }

    #[test]
    fn only_what_needs_no_dynamic_table_is_taken() {
        assert_eq!(take(QpackStream::Encoder, &[]), Ok(()));
        assert_eq!(take(QpackStream::Encoder, &[0x20, 0x20]), Ok(()));
        for refused in [&[0x21][..], &[0x3f, 0xe1, 0x1f], &[0x80], &[0xc0], &[0x40], &[0x00]] {
            assert_eq!(take(QpackStream::Encoder, refused), Err(Code::QPACK_ENCODER_STREAM_ERROR), "{refused:?}");
        }
        assert_eq!(take(QpackStream::Decoder, &[0x44, 0x7f, 0x80, 0x01, 0x40]), Ok(()));
        let endless = [&[0x7f][..], &[0xff; 12]].concat();
        for refused in [&[0x80][..], &[0x00], &[0x01], &endless] {
            assert_eq!(take(QpackStream::Decoder, refused), Err(Code::QPACK_DECODER_STREAM_ERROR), "{refused:?}");
        }
    }
}
