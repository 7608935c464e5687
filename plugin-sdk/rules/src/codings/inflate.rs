//! `gzip` and `deflate`.

use flate2::{Decompress, FlushDecompress, Status};

use super::decoder::{Fault, Moved};

/// Window and state of one decoder.
pub(super) const MEMORY: usize = 48 << 10;

/// The bits of the largest window.
const WINDOW: u8 = 15;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Members of gzip, one after the other (RFC 1952 section 2.2).
    Gzip,
    /// One stream, of zlib or raw.
    Deflate,
}

#[derive(Debug)]
enum State {
    /// Nothing has come of a stream, the first or the next.
    Between,
    /// The first byte of a stream that may be zlib's or raw.
    First(u8),
    Within(Decompress),
    Done,
}

#[derive(Debug)]
pub(super) struct Inflate {
    format: Format,
    state: State,
    /// A member has come to its end.
    complete: bool,
}

impl Inflate {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, state: State::Between, complete: false }
    }

    /// Runs up to the end of a member at most.
    pub(super) fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        let Some(first) = input.first().copied() else {
            return if matches!(self.state, State::Within(_)) {
                self.inflate(input, out)
            } else {
                Ok(Moved::default())
            };
        };
        match (&self.state, self.format) {
            (State::Within(_), _) => self.inflate(input, out),
            (State::Done, _) => Err(Fault::Trailing),
            (_, Format::Gzip) if self.complete && first != 0x1f => Err(Fault::Trailing),
            (_, Format::Gzip) => {
                self.state = State::Within(Decompress::new_gzip(WINDOW));
                self.inflate(input, out)
            }
            (State::Between, Format::Deflate) => {
                self.state = State::First(first);
                Ok(Moved { used: 1, made: 0 })
            }
            (State::First(before), Format::Deflate) => {
                let before = *before;
                self.state = State::Within(Decompress::new(is_zlib(before, first)));
                // Nothing can come of eight bits.
                self.inflate(&[before], out)?;
                self.inflate(input, out)
            }
        }
    }

    fn inflate(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        let State::Within(stream) = &mut self.state else { return Err(Fault::Malformed) };
        let (used, made) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, out, FlushDecompress::None).map_err(|_| Fault::Malformed)?;
        let since = |before: u64, now: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let moved = Moved { used: since(used, stream.total_in()), made: since(made, stream.total_out()) };
        if status == Status::StreamEnd {
            self.complete = true;
            self.state = if self.format == Format::Gzip { State::Between } else { State::Done };
        }
        Ok(moved)
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete && matches!(self.state, State::Between | State::Done)
    }
}

/// RFC 1950 section 2.2: method, window and check bits. Otherwise it is raw deflate, which some servers take the name for
/// and browsers accept.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
