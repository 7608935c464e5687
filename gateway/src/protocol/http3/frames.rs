//! The frames of a client's streams, parsed once as they come: whole field sections and content for whoever serves the
//! request, and for h3 the frames of the control stream.
//!
//! h3 0.0.8 keeps every frame but DATA until it is whole, however large, so it is given whole, ordered and bounded frames
//! only. What a client may make the gateway keep is one frame per stream, below the limit of its kind.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;
use smallvec::SmallVec;

use super::field_section::{self, Section};
use crate::sensitive::no_content;

/// The largest frame on the control stream: some settings, an id, a priority (RFC 9218 section 7.2).
const CONTROL_FRAME: u64 = 4 << 10;
/// Type and length, RFC 9114 section 7.1: two integers of at most eight bytes.
const FRAME_HEAD: usize = 16;

// RFC 9114 section 7.2.
pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// RFC 9114 section 7.2.4.1.
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
/// RFC 9114 section 6.2.1.
const CONTROL_STREAM: u64 = 0x0;
/// RFC 9204 section 4.2.
const QPACK_ENCODER_STREAM: u64 = 0x2;
const QPACK_DECODER_STREAM: u64 = 0x3;

/// What a client must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The error's code.
    pub(crate) code: Code,
    /// Whether it ends the connection, or only the stream.
    pub(crate) fatal: bool,
    /// For the log.
    pub(crate) what: &'static str,
}

pub(super) const fn fatal(code: Code, what: &'static str) -> Violation {
    Violation { code, fatal: true, what }
}

/// Something for whoever reads the stream.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A field section, whole and checked; `protocol` is the place of the name `:protocol` in it.
    Fields { section: Section, bytes: Bytes, protocol: Option<Range<usize>> },
    /// Content of the request.
    Content(Bytes),
    /// Bytes of a unidirectional stream, for h3.
    Other(Bytes),
}

no_content!(Piece);

/// Frames that have come: of those that bring a request or its content, and of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) useful: u32,
    pub(crate) control: u32,
}

/// The frames of one stream.
#[derive(Debug)]
pub(crate) struct Frames {
    stream: Stream,
    /// The largest field section.
    section: u64,
    /// Whether a request may be an extended CONNECT.
    extended: bool,
    state: State,
    /// What has come since somebody asked.
    pub(super) counts: Counts,
    /// The largest field section that the client takes, once it has said so.
    pub(super) field_limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Request(Part),
    /// A unidirectional stream whose type has not come yet.
    Untyped,
    Control,
    /// Not made of frames either, but of instructions that h3 does not read.
    Qpack(QpackStream),
    /// Not made of frames, or nothing that h3 reads further than its type.
    Other,
}

/// Which of QPACK's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QpackStream {
    /// What the client puts into our table, RFC 9204 section 4.3.
    Encoder,
    /// What it has understood of ours, section 4.4.
    Decoder,
}

/// The part of a request that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Content,
    /// Content and nothing else, without an end: what was a request is a tunnel.
    Tunnel,
    End,
}

enum State {
    /// The bytes so far of a type and a length (or of a stream's type).
    Head(SmallVec<[u8; FRAME_HEAD]>),
    /// That much content follows.
    Content(u64),
    /// That much is of no interest.
    Skipped(u64),
    /// A frame that is kept until it is whole; of a request its payload, for h3 with its head.
    Kept { kind: u64, frame: BytesMut, head: usize, whole: usize },
}

no_content!(State);

impl Frames {
    /// A request stream; `section` is the largest field section in bytes as they are encoded.
    pub(crate) fn of_request(section: usize, extended: bool) -> Self {
        Self { extended, ..Self::new(Stream::Request(Part::Head), section as u64) }
    }

    /// A unidirectional stream.
    pub(crate) fn of_unidirectional() -> Self {
        Self::new(Stream::Untyped, 0)
    }

    fn new(stream: Stream, section: u64) -> Self {
        let state = State::Head(SmallVec::new());
        Self { stream, section, extended: false, state, counts: Counts::default(), field_limit: None }
    }

    /// From here on there is content only (RFC 9114 section 4.4).
    pub(crate) fn tunnel(&mut self) {
        self.stream = Stream::Request(Part::Tunnel);
    }

    /// What the stream consists of, where its type has come and says QPACK.
    pub(super) const fn instructions(&self) -> Option<QpackStream> {
        match self.stream {
            Stream::Qpack(stream) => Some(stream),
            _ => None,
        }
    }

    /// Takes bytes of `input` until there is a piece. `None` once all are taken.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, Violation> {
        while !input.is_empty() {
            if matches!(self.stream, Stream::Other | Stream::Qpack(_)) {
                return Ok(Some(Piece::Other(std::mem::take(input))));
            }
            let piece = match &mut self.state {
                State::Head(_) if self.stream == Stream::Untyped => self.stream_type(input),
                State::Head(_) => self.frame_head(input)?,
                State::Content(left) => {
                    let bytes = input.split_to(at_most(*left, input.len()));
                    *left -= bytes.len() as u64;
                    if *left == 0 {
                        self.state = State::Head(SmallVec::new());
                    }
                    Some(Piece::Content(bytes))
                }
                State::Skipped(left) => {
                    let skipped = at_most(*left, input.len());
                    input.advance(skipped);
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.state = State::Head(SmallVec::new());
                    }
                    None
                }
                State::Kept { kind, frame, head, whole } => {
                    let taken = input.split_to((*whole - frame.len()).min(input.len()));
                    frame.extend_from_slice(&taken);
                    if frame.len() < *whole {
                        return Ok(None);
                    }
                    let (kind, head, bytes) = (*kind, *head, std::mem::take(frame).freeze());
                    self.state = State::Head(SmallVec::new());
                    Some(self.kept(kind, head, bytes)?)
                }
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// The stream ended well; says whether that is a place to end at.
    pub(crate) fn end(&self) -> Result<(), Violation> {
        match &self.state {
            State::Head(head) if head.is_empty() || self.stream == Stream::Untyped => Ok(()),
            // RFC 9114 section 7.1.
            _ => Err(fatal(Code::H3_FRAME_ERROR, "a stream that ends inside a frame")),
        }
    }

    fn stream_type(&mut self, input: &mut Bytes) -> Option<Piece> {
        let State::Head(head) = &mut self.state else { return None };
        head.push(input.get_u8());
        let kind = var_int(&mut &head[..])?;
        let bytes = Bytes::copy_from_slice(head);
        head.clear();
        self.stream = match kind {
            CONTROL_STREAM => Stream::Control,
            QPACK_ENCODER_STREAM => Stream::Qpack(QpackStream::Encoder),
            QPACK_DECODER_STREAM => Stream::Qpack(QpackStream::Decoder),
            _ => Stream::Other,
        };
        Some(Piece::Other(bytes))
    }

    /// Reads a frame's type and length; gives the frame where it is here in full.
    fn frame_head(&mut self, input: &mut Bytes) -> Result<Option<Piece>, Violation> {
        let State::Head(partial) = &mut self.state else { return Ok(None) };
        let before = partial.len();
        partial.extend_from_slice(&input[..input.len().min(FRAME_HEAD - before)]);
        let mut rest = &partial[..];
        let (Some(kind), Some(length)) = (var_int(&mut rest), var_int(&mut rest)) else {
            input.clear(); // The longest head would have been complete.
            return Ok(None);
        };
        let size = partial.len() - rest.len();
        let head = std::mem::take(partial);
        let known = matches!(kind, DATA..=0x9 | MAX_PUSH_ID);
        match (self.stream, kind) {
            (Stream::Request(Part::Content | Part::Tunnel), DATA) => {
                input.advance(size - before);
                if length == 0 {
                    self.counts.control += 1;
                } else {
                    self.counts.useful += 1;
                    self.state = State::Content(length);
                }
                return Ok(None);
            }
            (Stream::Request(Part::Head | Part::Content), HEADERS) => {
                if length > self.section {
                    let what = "a field section that is larger than the limit";
                    return Err(Violation { code: Code::H3_EXCESSIVE_LOAD, fatal: false, what });
                }
            }
            (Stream::Control, SETTINGS | CANCEL_PUSH | GOAWAY | MAX_PUSH_ID) if length <= CONTROL_FRAME => {}
            (Stream::Control, _) if length > CONTROL_FRAME => {
                return Err(fatal(Code::H3_EXCESSIVE_LOAD, "a large frame on the control stream"));
            }
            (_, _) if known => return Err(fatal(Code::H3_FRAME_UNEXPECTED, "a frame out of its place")),
            // RFC 9114 section 9: frames of unknown types are skipped.
            (_, _) => {
                self.counts.control += 1;
                input.advance(size - before);
                if length > 0 {
                    self.state = State::Skipped(length);
                }
                return Ok(None);
            }
        }
        input.advance(size - before);
        let kept = if matches!(self.stream, Stream::Request(_)) { 0 } else { size };
        let length = at_most(length, usize::MAX);
        if kept == 0 && input.len() >= length {
            let payload = input.split_to(length);
            return self.kept(kind, 0, payload).map(Some);
        }
        let mut frame = BytesMut::with_capacity(kept + length);
        frame.extend_from_slice(&head[..kept]);
        if length == 0 {
            return self.kept(kind, kept, frame.freeze()).map(Some);
        }
        self.state = State::Kept { kind, frame, head: kept, whole: kept + length };
        Ok(None)
    }

    /// Checks a frame that is here in full.
    fn kept(&mut self, kind: u64, head: usize, bytes: Bytes) -> Result<Piece, Violation> {
        let mut payload = &bytes[head..];
        let Stream::Request(part) = self.stream else {
            self.counts.control += 1;
            if kind == SETTINGS {
                self.settings(payload);
            } else if var_int(&mut payload).is_none() || !payload.is_empty() {
                // h3 would take what follows the id for the next frame.
                return Err(fatal(Code::H3_FRAME_ERROR, "a frame of one id that holds something else"));
            }
            return Ok(Piece::Other(bytes));
        };
        self.counts.useful += 1;
        let (section, next) = match part {
            Part::Head => (Section::Head { extended: self.extended }, Part::Content),
            Part::Content | Part::Tunnel | Part::End => (Section::Trailers, Part::End),
        };
        let protocol = field_section::check(payload, section).map_err(|what| Violation {
            code: Code::H3_MESSAGE_ERROR,
            fatal: false,
            what,
        })?;
        self.stream = Stream::Request(next);
        Ok(Piece::Fields { section, bytes, protocol })
    }

    /// Looks for what h3 does not tell of the settings that it reads.
    fn settings(&mut self, mut payload: &[u8]) {
        while let (Some(id), Some(value)) = (var_int(&mut payload), var_int(&mut payload)) {
            if id == MAX_FIELD_SECTION_SIZE {
                self.field_limit = Some(value);
            }
        }
    }
}

/// The smaller one, as a size.
fn at_most(length: u64, available: usize) -> usize {
    usize::try_from(length).map_or(available, |length| length.min(available))
}

/// RFC 9000 section 16.
fn var_int(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let (mine, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(mine[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::http3_frames::through;

    /// A HEADERS frame of `:method: GET`, `:scheme: https`, `:path: /` from the static table.
    const GET: &[u8] = &[1, 5, 0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1];
    /// A HEADERS frame of one field, as trailers.
    const TRAILERS: &[u8] = &[1, 6, 0, 0, 0x21, b'x', 1, b'1'];
    const SECTION: usize = 100;

    fn frames() -> Frames {
        Frames::of_request(SECTION, false)
    }

    fn request(bytes: &[u8]) -> Result<Vec<Piece>, Violation> {
        let whole = through(frames(), [bytes]);
        for split in 0..bytes.len() {
            let (before, after) = bytes.split_at(split);
            assert_eq!(through(frames(), [before, after]), whole, "split at {split}");
        }
        whole
    }

    fn control(frames: &[u8]) -> Result<Vec<u8>, Violation> {
        let bytes = [&[0], frames].concat();
        let whole = through(Frames::of_unidirectional(), [&bytes]);
        assert_eq!(through(Frames::of_unidirectional(), bytes.chunks(1)), whole);
        whole.map(|pieces| match &pieces[..] {
            [Piece::Other(bytes)] => bytes.to_vec(),
            other => panic!("{other:?}"),
        })
    }

    fn head() -> Piece {
        let bytes = Bytes::from_static(&GET[2..]);
        Piece::Fields { section: Section::Head { extended: false }, bytes, protocol: None }
    }

    #[test]
    fn a_request_comes_without_its_framing() {
        let bytes = [GET, &[0, 3, b'a', b'b', b'c'], &[0, 0], &[0x21, 2, 9, 9], &[0, 1, b'd'], TRAILERS].concat();
        let trailers =
            Piece::Fields { section: Section::Trailers, bytes: Bytes::from_static(&TRAILERS[2..]), protocol: None };
        assert_eq!(request(&bytes), Ok(vec![head(), Piece::Content(Bytes::from_static(b"abcd")), trailers]));
    }

    #[test]
    fn frames_that_bring_nothing_are_counted() {
        let bytes =
            [GET, &[0, 3, b'a', b'b', b'c'], &[0, 0].repeat(7), &[0x21, 2, 9, 9], &[0x21, 0], TRAILERS].concat();
        let mut frames = frames();
        let mut input = Bytes::from(bytes);
        while frames.next(&mut input).expect("good").is_some() {}
        assert_eq!(frames.counts, Counts { useful: 3, control: 9 });
    }

    #[test]
    fn the_largest_field_section_of_the_client_is_known() {
        let mut frames = Frames::of_unidirectional();
        let mut input = Bytes::from_static(&[0, 4, 5, 1, 0, 6, 0x43, 0xe8]);
        while frames.next(&mut input).expect("good").is_some() {}
        assert_eq!(frames.field_limit, Some(1000));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error() {
        let half = [GET, &[0, 0x40, 100], &[b'x'; 50]].concat();
        for bytes in [&half[..], &GET[..3], &[1], &[0x21, 5, 0]] {
            assert_eq!(request(bytes).expect_err("half a frame").code, Code::H3_FRAME_ERROR, "{bytes:?}");
        }
        assert_eq!(request(GET), Ok(vec![head()]));
        assert_eq!(request(&[]), Ok(Vec::new()));
    }

    #[test]
    fn large_frames_are_refused_before_they_are_kept() {
        // Type 0x21 and a length of 2^40.
        let large = [0x21, 0xc0, 0, 1, 0, 0, 0, 0, 0, 0];
        let violation = control(&large).expect_err("large");
        assert_eq!((violation.code, violation.fatal), (Code::H3_EXCESSIVE_LOAD, true));
        let section = request(&[1, 0x40, 101]).expect_err("large");
        assert_eq!((section.code, section.fatal), (Code::H3_EXCESSIVE_LOAD, false));
        let trailers = request(&[GET, &[1, 0x40, 101]].concat()).expect_err("large");
        assert_eq!((trailers.code, trailers.fatal), (Code::H3_EXCESSIVE_LOAD, false));
    }

    #[test]
    fn frames_that_are_skipped_leave_nothing() {
        // PRIORITY_UPDATE, RFC 9218 section 7.2: a client may send one per request.
        let update = [&[0x80, 0x0f, 0x07, 0x00, 4], &[0, b'u', b'=', b'1'][..]].concat();
        let many = [&[4, 0][..], &update.repeat(5000)].concat();
        let passed = Piece::Other(Bytes::from_static(&[0, 4, 0]));
        assert_eq!(through(Frames::of_unidirectional(), [&[0][..], &many]), Ok(vec![passed]));
    }

    #[test]
    fn an_id_hides_no_frame_behind_it() {
        assert_eq!(control(&[4, 0, 7, 1, 0]), Ok(vec![0, 4, 0, 7, 1, 0]));
        for kind in [3, 7, 0xd] {
            let smuggled = [4, 0, kind, 10, 0, 0x21, 0xc0, 0, 1, 0, 0, 0, 0, 0];
            assert_eq!(control(&smuggled).expect_err("more than an id").code, Code::H3_FRAME_ERROR, "{kind}");
        }
    }

    #[test]
    fn frames_out_of_their_place_end_the_connection() {
        let after_trailers = [GET, TRAILERS, &[0, 1, b'x']].concat();
        for bytes in [&[0, 1, b'x'][..], &[4, 0], &[6, 0], &after_trailers] {
            let violation = request(bytes).expect_err("out of place");
            assert_eq!((violation.code, violation.fatal), (Code::H3_FRAME_UNEXPECTED, true), "{bytes:?}");
        }
        for frame in [DATA, HEADERS, 2, 5, 6, 8, 9] {
            let violation = control(&[u8::try_from(frame).expect("small"), 0]).expect_err("out of place");
            assert_eq!(violation.code, Code::H3_FRAME_UNEXPECTED, "{frame}");
        }
    }

    #[test]
    fn a_tunnel_is_content_alone() {
        for (bytes, expected) in [(&[0, 1, b'x', 0x21, 0][..], None), (TRAILERS, Some(Code::H3_FRAME_UNEXPECTED))] {
            let mut frames = frames();
            assert!(frames.next(&mut Bytes::from_static(GET)).expect("good").is_some());
            frames.tunnel();
            let mut input = Bytes::copy_from_slice(bytes);
            let mut next = || frames.next(&mut input).map_err(|violation| violation.code);
            match expected {
                None => assert_eq!((next(), next()), (Ok(Some(Piece::Content(Bytes::from_static(b"x")))), Ok(None))),
                Some(code) => assert_eq!(next(), Err(code)),
            }
        }
    }

    #[test]
    fn other_streams_pass_as_they_are() {
        let bytes = [&[2][..], &[0xff; 40]].concat();
        assert_eq!(through(Frames::of_unidirectional(), [&bytes]), Ok(vec![Piece::Other(bytes.into())]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_splits_change_nothing(
            bytes in proptest::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..200),
            split in 0usize..200,
            framed in any::<bool>(),
        ) {
            let bytes = if framed { [GET, &bytes].concat() } else { bytes };
            let (before, after) = bytes.split_at(split.min(bytes.len()));
            for new in [|| Frames::of_request(SECTION, true), || Frames::of_unidirectional()] {
                prop_assert_eq!(through(new(), [&bytes]), through(new(), [before, after]));
            }
        }
    }
}
