//! Codings off a content, step by step.

use std::fmt;

use super::aws::Chunks;
use super::br::Brotli;
use super::inflate::{self, Format, Inflate};
use super::zstandard::Zstandard;
use super::{Coding, Codings};

/// Bytes that one step makes at most, and as many as it takes: so long a step takes some tenths of a millisecond.
pub const STEP: usize = 32 << 10;

/// What a content may become, by default, as a multiple of the bytes that came. That of text is below 20.
pub const RATIO: u32 = 100;

/// What a content may become whatever came: so little harms nobody, and what is short may well repeat itself.
pub const FLOOR: u64 = 1 << 20;

/// How much a content may become.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes; `None`: as many as come.
    pub size: Option<u64>,
    /// As a multiple of the bytes that came, from [`FLOOR`] on.
    pub ratio: u32,
}

/// Why no more can be made of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the rules of its coding, or needs more memory than a decoder has.
    Malformed,
    /// It ends too early.
    Truncated,
    /// Something follows that does not belong to it.
    Trailing,
    /// It becomes more than [`Bounds::size`].
    TooLarge,
    /// It becomes more than [`Bounds::ratio`] allows.
    Bomb,
    /// A chunk of `aws-chunked` is signed.
    Signed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "its encoded content is malformed",
            Self::Truncated => "its encoded content ends too early",
            Self::Trailing => "something follows its encoded content",
            Self::TooLarge => "its decoded content is larger than the limit",
            Self::Bomb => "its decoded content is a larger multiple of what came than the limit",
            Self::Signed => "its aws-chunked payload is signed, and what is rewritten would not hold",
        })
    }
}

/// What a codec has taken and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) used: usize,
    pub(super) made: usize,
}

enum Codec {
    Inflate(Inflate),
    Brotli(Brotli),
    Zstandard(Box<Zstandard>),
    Chunks(Chunks),
}

/// One coding, with what the one around it has made.
struct Layer {
    codec: Codec,
    /// What it is given, from `at` on; the outermost is given what comes.
    input: Vec<u8>,
    at: usize,
    begun: bool,
    made: u64,
}

impl Layer {
    fn new(codec: Codec) -> Self {
        Self { codec, input: Vec::new(), at: 0, begun: false, made: 0 }
    }

    fn of(coding: Coding) -> Result<Self, Fault> {
        Ok(Self::new(match coding {
            Coding::Gzip => Codec::Inflate(Inflate::new(Format::Gzip)),
            Coding::Deflate => Codec::Inflate(Inflate::new(Format::Deflate)),
            Coding::Br => Codec::Brotli(Brotli::new()),
            Coding::Zstd => Codec::Zstandard(Box::new(Zstandard::new()?)),
        }))
    }

    fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        let moved = match &mut self.codec {
            Codec::Inflate(codec) => codec.run(input, out),
            Codec::Brotli(codec) => codec.run(input, out),
            Codec::Zstandard(codec) => codec.run(input, out),
            Codec::Chunks(codec) => codec.run(input, out),
        }?;
        self.begun |= moved.used > 0;
        self.made += moved.made as u64;
        Ok(moved)
    }

    fn run_held(&mut self, out: &mut [u8]) -> Result<Moved, Fault> {
        let input = std::mem::take(&mut self.input);
        let moved = self.run(&input[self.at..], out);
        self.input = input;
        self.at += moved?.used;
        moved
    }

    fn is_complete(&self) -> bool {
        match &self.codec {
            Codec::Inflate(codec) => codec.is_complete(),
            Codec::Brotli(codec) => codec.is_complete(),
            Codec::Zstandard(codec) => codec.is_complete(),
            Codec::Chunks(codec) => codec.is_complete(),
        }
    }

    fn memory(&self) -> usize {
        self.input.capacity()
            + match &self.codec {
                Codec::Inflate(_) => inflate::MEMORY,
                Codec::Brotli(codec) => codec.memory(),
                Codec::Zstandard(codec) => codec.memory(),
                Codec::Chunks(_) => 0,
            }
    }
}

/// What a step has come to.
#[derive(Debug)]
pub struct Step<'a> {
    /// Bytes of the input that it has taken.
    pub used: usize,
    /// What it has made.
    pub made: &'a [u8],
    /// Whether it has moved anything. Where it has not, all that can be made of what was given has been.
    pub moved: bool,
}

/// Takes codings off a content. Whatever is given is made what it can be made at once, so that nothing waits that its sender
/// has flushed.
pub struct Decoder {
    /// From the outermost in.
    layers: Vec<Layer>,
    bounds: Bounds,
    taken: u64,
    out: Vec<u8>,
}

impl Decoder {
    /// For content with these codings.
    ///
    /// # Errors
    /// Where a codec can't be made, for want of memory.
    pub fn new(codings: &Codings, bounds: Bounds) -> Result<Self, Fault> {
        let chunks = codings.in_chunks.then(|| Ok(Layer::new(Codec::Chunks(Chunks::default()))));
        let layers = chunks.into_iter().chain(codings.of_content.iter().map(|coding| Layer::of(*coding)));
        Ok(Self { layers: layers.collect::<Result<_, _>>()?, bounds, taken: 0, out: Vec::new() })
    }

    /// Makes up to [`STEP`] bytes of what is given and what it has kept. To be called until nothing is left of the input and
    /// nothing has moved.
    ///
    /// # Errors
    /// What is wrong with the content. It is not to be called again then.
    pub fn step(&mut self, input: &[u8]) -> Result<Step<'_>, Fault> {
        self.out.resize(STEP, 0);
        let input = &input[..input.len().min(STEP)];
        let (moved, any) = pull(&mut self.layers, input, &mut self.out)?;
        self.taken += moved.used as u64;
        let most = self.taken.saturating_mul(self.bounds.ratio.into()).max(FLOOR);
        if self.layers.iter().any(|layer| layer.made > most) {
            return Err(Fault::Bomb);
        }
        let made = self.layers.last().map_or(0, |layer| layer.made);
        if self.bounds.size.is_some_and(|size| made > size) {
            return Err(Fault::TooLarge);
        }
        Ok(Step { used: moved.used, made: &self.out[..moved.made], moved: any })
    }

    /// Makes all that can be made of a piece, for whoever has the room: within the bounds, but not step by step.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn decode(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        loop {
            let step = self.step(input)?;
            out.extend_from_slice(step.made);
            input = &input[step.used..];
            if input.is_empty() && !step.moved {
                return Ok(());
            }
        }
    }

    /// The input is at its end, and nothing moves any more. Where nothing has come, that is the content.
    ///
    /// # Errors
    /// Where more had to come.
    pub fn finish(&self) -> Result<(), Fault> {
        for layer in &self.layers {
            if !layer.begun {
                return Ok(());
            }
            if !layer.is_complete() {
                return Err(Fault::Truncated);
            }
        }
        Ok(())
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.out.capacity() + self.layers.iter().map(Layer::memory).sum::<usize>()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("bounds", &self.bounds).field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// Makes the innermost of these layers make something, once, and whether anything has moved in any of them.
fn pull(layers: &mut [Layer], input: &[u8], out: &mut [u8]) -> Result<(Moved, bool), Fault> {
    let Some((inner, around)) = layers.split_last_mut() else { return Ok((Moved::default(), false)) };
    if around.is_empty() {
        let moved = inner.run(input, out)?;
        return Ok((moved, moved != Moved::default()));
    }
    let kept = inner.run_held(out)?;
    if kept != Moved::default() {
        return Ok((Moved { used: 0, made: kept.made }, true));
    }
    inner.input.resize(STEP, 0);
    let (got, any) = pull(around, input, &mut inner.input)?;
    inner.input.truncate(got.made);
    inner.at = 0;
    let made = if got.made == 0 { 0 } else { inner.run_held(out)?.made };
    Ok((Moved { used: got.used, made }, any))
}
