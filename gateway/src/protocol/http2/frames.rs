//! What a client sends, seen before h2 reads it: the heads of frames (RFC 9113 section 4.1), and header blocks.

use crate::sensitive::no_content;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const CONTINUATION: u8 = 9;

const PREFACE: usize = 24;
const HEAD: usize = 9;

/// The head of a frame, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) length: usize,
}

impl Head {
    const fn parse(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = bytes;
        // The highest bit is reserved, and ignored.
        let stream = u32::from_be_bytes([d & 0x7f, e, f, g]);
        Self { kind, flags, stream, length: u32::from_be_bytes([0, a, b, c]) as usize }
    }

    /// Whether what it brings is a header block, or a part of one.
    const fn brings_fields(self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION)
    }
}

/// What there is in what comes.
#[derive(PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// The head of a frame.
    Head(Head),
    /// Some of what the frame with this head brings, where that is fields.
    Fields(Head, &'a [u8]),
}

no_content!(Seen<'_>);

/// Finds frames in what comes.
pub(crate) struct Frames {
    /// Bytes up to the next head, and the last one.
    left: usize,
    current: Head,
    /// What has come of the next.
    head: [u8; HEAD],
    known: usize,
}

impl Frames {
    /// From the preface on.
    pub(crate) const fn new() -> Self {
        let current = Head { kind: u8::MAX, flags: 0, stream: 0, length: PREFACE };
        Self { left: PREFACE, current, head: [0; HEAD], known: 0 }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Seen<'_>)) {
        loop {
            let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= payload.len();
            if !payload.is_empty() && self.current.brings_fields() {
                found(Seen::Fields(self.current, payload));
            }
            let (part, rest) = rest.split_at((HEAD - self.known).min(rest.len()));
            self.head[self.known..self.known + part.len()].copy_from_slice(part);
            self.known += part.len();
            bytes = rest;
            if self.known < HEAD {
                return;
            }
            self.current = Head::parse(self.head);
            (self.left, self.known) = (self.current.length, 0);
            found(Seen::Head(self.current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_wherever_what_comes_is_cut() {
        let frame = |kind, flags, length| Head { kind, flags, stream: 1, length };
        let frames = [frame(4, 0, 12), frame(4, 1, 0), frame(1, 5, 300), frame(0, 1, 70_000), frame(255, 7, 1)];
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for frame in frames {
            let length = u32::try_from(frame.length).unwrap().to_be_bytes();
            bytes.extend([&length[1..], &[frame.kind, frame.flags, 0, 0, 0, 1]].concat());
            bytes.resize(bytes.len() + frame.length, 6);
        }
        for size in [1, 2, 8, 9, 10, 33, 1000, bytes.len()] {
            let (mut reader, mut found, mut fields) = (Frames::new(), Vec::new(), 0);
            let mut see = |seen: Seen<'_>| match seen {
                Seen::Head(head) => found.push(head),
                Seen::Fields(head, part) => {
                    assert_eq!(head, frames[2]);
                    fields += part.len();
                }
            };
            bytes.chunks(size).for_each(|part| reader.feed(part, &mut see));
            assert_eq!((found.as_slice(), fields), (&frames[..], 300), "in parts of {size}");
        }
    }
}
