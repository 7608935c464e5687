//! Any bytes on a stream of HTTP/3: what is read of it does not depend on how they arrive, and what h3 gets is clean.

use bytes::{Bytes, BytesMut};

use crate::protocol::http3::field_section::{Section, check};
use crate::protocol::http3::frames::{Frames, Piece, Violation};

/// The largest field section.
const SECTION: usize = 200;

/// Input: a byte for the kind of stream, a byte that says how the rest is cut, and the bytes of the stream.
///
/// # Panics
/// Where the cut makes a difference, or where what h3 would get would not be taken again.
pub fn run(data: &[u8]) {
    let Some((&[kind, cut], stream)) = data.split_first_chunk::<2>() else { return };
    // As on arrival; a section of its own is more often well-formed than one in a frame.
    let _ = (check(stream, Section::Trailers), check(stream, Section::Head { extended: false }));
    if let Ok(Some(protocol)) = check(stream, Section::Head { extended: true }) {
        assert!(protocol.start < protocol.end && protocol.end < stream.len(), "a name without a value");
    }
    let frames = || match kind % 4 {
        0 => Frames::of_request(SECTION, false),
        2 => Frames::of_request(SECTION, true),
        _ => Frames::of_unidirectional(),
    };
    let whole = through(frames(), [stream]);
    let single = through(frames(), stream.chunks(1));
    let pieces = through(frames(), stream.chunks(usize::from(cut).max(1)));
    let halves = stream.split_at(usize::from(cut).min(stream.len()));
    let halves = through(frames(), [halves.0, halves.1]);
    assert_eq!(whole, single, "byte by byte");
    assert_eq!(whole, pieces, "in pieces");
    assert_eq!(whole, halves, "in halves");
    let Ok(pieces) = whole else { return };
    let length: usize = pieces.iter().map(|piece| bytes_of(piece).len()).sum();
    assert!(length <= stream.len(), "more than has come");
    if let [Piece::Other(bytes)] = &pieces[..] {
        assert_eq!(through(frames(), [bytes]), Ok(pieces.clone()), "not what h3 may see");
    }
}

fn bytes_of(piece: &Piece) -> &Bytes {
    match piece {
        Piece::Fields { bytes, .. } | Piece::Content(bytes) | Piece::Other(bytes) => bytes,
    }
}

/// What is read of bytes that come one after the other. Neighbours of a kind are one.
pub(crate) fn through(
    mut frames: Frames,
    parts: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Result<Vec<Piece>, Violation> {
    let mut pieces: Vec<Piece> = Vec::new();
    for part in parts {
        let mut input = Bytes::copy_from_slice(part.as_ref());
        while let Some(piece) = frames.next(&mut input)? {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Content(before)), Piece::Content(bytes))
                | (Some(Piece::Other(before)), Piece::Other(bytes)) => {
                    let mut joined = BytesMut::from(&before[..]);
                    joined.extend_from_slice(&bytes);
                    *before = joined.freeze();
                }
                (_, piece) => {
                    assert!(!bytes_of(&piece).is_empty(), "an empty piece");
                    pieces.push(piece);
                }
            }
        }
        assert!(input.is_empty(), "bytes are left over");
    }
    frames.end()?;
    Ok(pieces)
}
