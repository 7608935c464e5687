//! Any bytes on a stream of HTTP/3: what h3 gets to see does not depend on how they arrive, and is clean.

use bytes::Bytes;

use crate::protocol::http3::field_section::{Section, check};
use crate::protocol::http3::frames::{Frames, Violation};

/// The largest field section.
const SECTION: usize = 200;

/// Input: a byte for the kind of stream, a byte that says how the rest is cut, and the bytes of the stream.
///
/// # Panics
/// Where the cut makes a difference, or where what went through would not go through again.
pub fn run(data: &[u8]) {
    let Some((&[kind, cut], stream)) = data.split_first_chunk::<2>() else { return };
    // As on arrival; a section of its own is more often well-formed than one in a frame.
    let _ = (check(stream, Section::Head), check(stream, Section::Trailers));
    let frames = || if kind % 2 == 0 { Frames::of_request(SECTION) } else { Frames::of_unidirectional() };
    let whole = through(frames(), [stream]);
    let single = through(frames(), stream.chunks(1));
    let pieces = through(frames(), stream.chunks(usize::from(cut).max(1)));
    let halves = stream.split_at(usize::from(cut).min(stream.len()));
    let halves = through(frames(), [halves.0, halves.1]);
    assert_eq!(whole, single, "byte by byte");
    assert_eq!(whole, pieces, "in pieces");
    assert_eq!(whole, halves, "in halves");
    if let Ok((out, content)) = whole {
        assert_eq!(through(frames(), [out.as_slice()]), Ok((out.clone(), content)), "not what h3 may see");
        assert!(out.len() <= stream.len() && content <= out.len());
    }
}

/// What goes through of pieces that come one after the other, and how much content is in it.
pub(crate) fn through(
    mut frames: Frames,
    pieces: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Result<(Vec<u8>, usize), Violation> {
    let (mut out, mut content) = (Vec::new(), 0);
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece.as_ref());
        while let Some(piece) = frames.next(&mut input)? {
            assert!(!piece.bytes.is_empty(), "h3 takes no empty pieces");
            out.extend_from_slice(&piece.bytes);
            content += piece.content;
        }
        assert!(input.is_empty(), "bytes are left over");
    }
    frames.end()?;
    Ok((out, content))
}
