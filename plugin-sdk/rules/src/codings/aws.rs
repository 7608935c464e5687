//! The chunks of `aws-chunked`: framing inside the content, as S3's clients send it.
//!
//! `HEX[;chunk-signature=…] CRLF bytes CRLF`, a last chunk of length 0, trailer fields, and an empty line
//! (docs.aws.amazon.com, "Signature calculations: transferring a payload in multiple chunks"). The payload goes on without
//! them: what the head must say of chunks (`x-amz-decoded-content-length`) is not known before a plugin has seen the end.

use super::decoder::{Fault, Moved};

/// A line of the framing, at most.
const MAX_LINE: usize = 1 << 10;
/// Lines of trailers, at most.
const MAX_TRAILERS: u8 = 32;

/// Whether the field of this name (in lower case) tells of the chunks, or is a checksum of the payload as it came: it goes
/// with them.
pub(super) fn tells_of_chunks(name: &str) -> bool {
    matches!(name, "x-amz-decoded-content-length" | "x-amz-trailer" | "x-amz-sdk-checksum-algorithm")
        || name.starts_with("x-amz-checksum-")
}

/// What `x-amz-content-sha256` says of the payload once it is out of its chunks, where it said something of these.
pub fn of_the_payload(told: &[u8]) -> Option<&'static str> {
    told.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"STREAMING-")).then_some("UNSIGNED-PAYLOAD")
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    AfterData,
    Trailers(u8),
    Done,
}

/// Takes the payload out of its chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    line: Vec<u8>,
}

impl Chunks {
    pub(super) fn run(&mut self, input: &[u8], out: &mut [u8]) -> Result<Moved, Fault> {
        let mut moved = Moved::default();
        while moved.used < input.len() {
            let rest = &input[moved.used..];
            if let State::Data(left) = &mut self.state {
                let room = &mut out[moved.made..];
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let count = rest.len().min(room.len()).min(most);
                if count == 0 {
                    break;
                }
                room[..count].copy_from_slice(&rest[..count]);
                moved.used += count;
                moved.made += count;
                *left -= count as u64;
                if *left == 0 {
                    self.state = State::AfterData;
                }
                continue;
            }
            if matches!(self.state, State::Done) {
                return Err(Fault::Trailing);
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(rest.len(), |end| end + 1);
            if self.line.len() + count > MAX_LINE {
                return Err(Fault::Malformed);
            }
            self.line.extend_from_slice(&rest[..count]);
            moved.used += count;
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                self.state = self.after(line.strip_suffix(b"\r\n").ok_or(Fault::Malformed)?)?;
            }
        }
        Ok(moved)
    }

    fn after(&self, line: &[u8]) -> Result<State, Fault> {
        match self.state {
            State::Size => {
                let mut parts = line.split(|byte| *byte == b';');
                let size = parts.next().unwrap_or_default();
                if parts.any(|extension| extension.trim_ascii().starts_with(b"chunk-signature")) {
                    return Err(Fault::Signed);
                }
                let digits = !size.is_empty() && size.len() <= 15 && size.iter().all(u8::is_ascii_hexdigit);
                let size = std::str::from_utf8(size).ok().filter(|_| digits);
                match size.and_then(|size| u64::from_str_radix(size, 16).ok()) {
                    Some(0) => Ok(State::Trailers(0)),
                    Some(size) => Ok(State::Data(size)),
                    None => Err(Fault::Malformed),
                }
            }
            State::AfterData if line.is_empty() => Ok(State::Size),
            State::Trailers(_) if line.is_empty() => Ok(State::Done),
            State::Trailers(_) if line.starts_with(b"x-amz-trailer-signature") => Err(Fault::Signed),
            State::Trailers(before) if before < MAX_TRAILERS && line.contains(&b':') => Ok(State::Trailers(before + 1)),
            _ => Err(Fault::Malformed),
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.state, State::Done)
    }
}
