//! Any bytes as encoded content: what they come to does not depend on how they arrive, no step makes or holds more than it
//! may, and what is encoded here decodes to what it was.

use plugin_rules::class::Direction;
use plugin_rules::codings::{Bounds, Coding, Codings, Content, Decoder, Encoder, FLOOR, Fault, RATIO, STEP};

/// What any content may become here.
const SIZE: u64 = 4 << 20;
/// Windows and buffers of as many codings as there may be, at most: of the largest windows that are granted.
const MEMORY: usize = 64 << 20;

/// Input: a line as in Content-Encoding, a byte that says how the content is cut, and the content.
///
/// # Panics
/// Where a cut makes a difference, a bound is passed, or what was encoded comes back as something else.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(line), Some(rest)) = (parts.next(), parts.next()) else { return };
    let Some((cut, content)) = rest.split_first() else { return };
    let fields = vec![("content-encoding".to_owned(), line.to_vec())];
    let Content::Coded(codings) = Content::of(&fields, Direction::Request) else { return };
    let whole = decode(&codings, [content]);
    let single = decode(&codings, content.chunks(1));
    let pieces = decode(&codings, content.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole.is_ok(), single.is_ok(), "byte by byte: {whole:?}, {single:?}");
    assert_eq!(whole.is_ok(), pieces.is_ok(), "in pieces: {whole:?}, {pieces:?}");
    if let (Ok(whole), Ok(single), Ok(pieces)) = (whole, single, pieces) {
        assert!(whole == single && whole == pieces, "other bytes by the cut");
    }
    if let (Some(coding), false) = (codings.outermost(), codings.in_aws_chunks()) {
        let encoded = encode(coding, content.chunks(usize::from(*cut).max(64)));
        assert_eq!(decode(&Codings::of([coding]), encoded.chunks(97)).as_deref(), Ok(content), "{coding:?}");
    }
}

fn decode<'a>(codings: &Codings, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decoder::new(codings, Bounds { size: Some(SIZE), ratio: RATIO })?;
    let (mut all, mut came) = (Vec::new(), 0);
    for mut piece in pieces {
        came += piece.len() as u64;
        loop {
            let step = decoder.step(piece)?;
            assert!(step.made.len() <= STEP && step.used <= piece.len());
            all.extend_from_slice(step.made);
            let (used, moved) = (step.used, step.moved);
            piece = &piece[used..];
            assert!(decoder.memory() <= MEMORY, "{} bytes held", decoder.memory());
            if piece.is_empty() && !moved {
                break;
            }
        }
        assert!(all.len() as u64 <= SIZE.min(FLOOR.max(came * u64::from(RATIO))), "{} bytes of {came}", all.len());
    }
    decoder.finish().map(|()| all)
}

fn encode<'a>(coding: Coding, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut encoder, mut all) = (Encoder::new(coding).expect("an encoder"), Vec::new());
    for piece in pieces {
        encoder.write(piece).and_then(|()| encoder.flush()).expect("memory");
        all.append(&mut encoder.take());
    }
    all.append(&mut encoder.finish().expect("memory"));
    all
}
