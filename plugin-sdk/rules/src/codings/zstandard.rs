//! `zstd`.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::decoder::{Fault, Moved};

/// RFC 9659: a sender uses no window over 8 MB.
const WINDOW: u32 = 23;

#[derive(PartialEq, Eq)]
enum State {
    /// Nothing has come yet.
    Start,
    /// In the middle of a frame.
    Within,
    /// Behind a frame; another may follow (RFC 8878 section 3.1).
    Complete,
}

pub(super) struct Zstandard {
    context: DCtx<'static>,
    state: State,
}

impl Zstandard {
    pub(super) fn new() -> Result<Self, Fault> {
        let mut context = DCtx::try_create().ok_or(Fault::Malformed)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(|_| Fault::Malformed)?;
        Ok(Self { context, state: State::Start })
    }

    pub(super) fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        if input.is_empty() && self.state != State::Within {
            return Ok(Moved::default());
        }
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(out));
        let hint = self.context.decompress_stream(&mut to, &mut from).map_err(|_| match self.state {
            State::Complete => Fault::Trailing,
            _ => Fault::Malformed,
        })?;
        self.state = if hint == 0 { State::Complete } else { State::Within };
        Ok(Moved { used: from.pos, made: to.pos() })
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    pub(super) fn memory(&self) -> usize {
        self.context.sizeof()
    }
}
