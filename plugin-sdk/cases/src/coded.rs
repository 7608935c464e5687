//! Bodies with a content coding: cases have them as text, and they are sent and read encoded.

use plugin_rules::class::Direction;
use plugin_rules::codings::{Bounds, Coding, Content, Decoder, Encoder, RATIO};
use serde::Deserialize;

use crate::format::Message;

/// The coding with which a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoded {
    /// `gzip`.
    Gzip,
    /// `deflate`.
    Deflate,
    /// `br`.
    Br,
    /// `zstd`.
    Zstd,
}

impl Encoded {
    const fn coding(self) -> Coding {
        match self {
            Self::Gzip => Coding::Gzip,
            Self::Deflate => Coding::Deflate,
            Self::Br => Coding::Br,
            Self::Zstd => Coding::Zstd,
        }
    }
}

/// A message as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, piece by piece.
    pub chunks: Vec<Vec<u8>>,
}

impl Message {
    /// As it is sent: with its coding on, so that each piece can be read when it comes.
    ///
    /// # Panics
    /// Where there is no memory to encode it.
    pub fn sent(self) -> Sent {
        let Self { mut headers, chunks, encoded } = self;
        let mut chunks: Vec<Vec<u8>> = chunks.into_iter().map(String::into_bytes).collect();
        if let Some(coding) = encoded.map(Encoded::coding) {
            headers.push(("content-encoding".to_owned(), coding.name().to_owned()));
            let mut encoder = Encoder::new(coding).expect("there is memory for an encoder");
            for chunk in &mut chunks {
                encoder.write(chunk).and_then(|()| encoder.flush()).expect("there is memory to encode");
                *chunk = encoder.take();
            }
            if let Some(last) = chunks.last_mut() {
                last.append(&mut encoder.finish().expect("there is memory to encode"));
            }
        }
        Sent { headers, chunks }
    }
}

/// A body as whoever got it reads it: without its coding, where it has a good one.
pub(crate) fn read(headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let fields: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let Content::Coded(codings) = Content::of(&fields, Direction::Response) else { return body.to_vec() };
    let mut all = Vec::new();
    let read = Decoder::new(&codings, Bounds { size: None, ratio: RATIO })
        .and_then(|mut decoder| decoder.decode(body, &mut all).and_then(|()| decoder.finish()));
    if read.is_ok() { all } else { body.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read_as_it_stands_in_the_case() {
        for encoded in [Encoded::Gzip, Encoded::Deflate, Encoded::Br, Encoded::Zstd] {
            let chunks = ["a ", "", "body"].map(str::to_owned).to_vec();
            let sent = Message { headers: Vec::new(), chunks, encoded: Some(encoded) }.sent();
            assert_eq!(sent.chunks.len(), 3);
            assert_eq!(read(&sent.headers, &sent.chunks.concat()), b"a body", "{encoded:?}");
            assert_eq!(read(&sent.headers, b"a body"), b"a body", "what has no good one is shown as it is");
        }
    }
}
