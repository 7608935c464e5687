//! What of bodies plugins read, what a message's head may then still say, and what becomes of their answers.

use crate::class::Direction;
use crate::fields::Fields;
use crate::phase::Phase;

/// What describes the bytes of a body as it came: gone from the head once a plugin may change them. The length first, then
/// digests of content or representation (RFC 1864, RFC 3230, RFC 9530), then what tells versions apart or offers parts.
pub const OF_THE_BYTES: [&str; 7] =
    ["content-length", "content-md5", "digest", "content-digest", "repr-digest", "etag", "accept-ranges"];

/// The first of [`OF_THE_BYTES`]: what tells of a body that isn't sent, and that nobody knows as it would be (an answer to
/// HEAD, a 304). What tells versions apart stays there: a plugin that leaves bodies as they are leaves it in answers to GET.
pub const LENGTH_AND_DIGESTS: usize = 5;

/// A plugin can't read parts (RFC 9110 section 14.2), and a coding (section 12.5.3) would be put on by the service to be
/// taken off here, so where one reads responses these are taken off the request and `Accept-Encoding: identity` is put
/// there. What is encoded all the same is decoded ([`crate::codings`]).
pub const ASKS_FOR_OTHER_BYTES: [&str; 3] = ["accept-encoding", "range", "if-range"];

/// What a response whose coding was taken off depends on (RFC 9110 section 12.5.5): the coding that is put on again, or that
/// none is.
pub const VARIES_BY: &str = "accept-encoding";

/// Whether the fields of a response say already that it depends on [`VARIES_BY`].
pub fn says_varies(fields: &impl Fields) -> bool {
    let members = fields.values("vary").flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    members.into_iter().any(|member| member == b"*" || member.eq_ignore_ascii_case(VARIES_BY.as_bytes()))
}

/// What a headers phase asks for of the body that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// Nothing: it goes past the plugin.
    #[default]
    Skip,
    /// A call for each chunk. The one with `end` comes also where no body follows a request's head; of a response without one
    /// there are no chunks.
    Chunks,
    /// One call with all of it, also where no body follows: then with nothing.
    Whole,
}

/// Why a plugin that asks for a body without a phase for it is not passed by, whatever its failure policy: it would be as
/// if it had read the body.
pub const HAS_NO_BODY_PHASE: &str = "asks for the body and has no phase for it";

impl BodyMode {
    /// What comes of it. Whatever decides by a whole body is asked, however the message is made; `chunks_end`: so is whatever
    /// reads chunks, because there is a body, or its end is told where there is none.
    ///
    /// # Errors
    /// [`HAS_NO_BODY_PHASE`].
    const fn granted(self, has_phase: bool, chunks_end: bool) -> Result<Self, &'static str> {
        match self {
            Self::Skip => Ok(Self::Skip),
            _ if !has_phase => Err(HAS_NO_BODY_PHASE),
            Self::Chunks if !chunks_end => Ok(Self::Skip),
            _ => Ok(self),
        }
    }

    /// What comes of the mode that a request-headers phase asks for. Who reads a request in chunks may refuse it up to the end,
    /// so its end is told also where no body comes (`end`): a check can't be got round by sending none. `pins`: the plugin
    /// was built when that was not so, and may take such a call for a mistake.
    ///
    /// # Errors
    /// [`HAS_NO_BODY_PHASE`].
    pub const fn of_request(self, has_phase: bool, end: bool, pins: bool) -> Result<Self, &'static str> {
        self.granted(has_phase, !end || !pins)
    }
}

/// What the head of a response says once the plugin has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseReading {
    /// What the plugin is called with of the body.
    pub mode: BodyMode,
    /// [`OF_THE_BYTES`] goes. Also where there is no body: an answer to HEAD tells nothing that one to GET would not.
    pub drops_description: bool,
    /// Nobody knows the length that the body would have in answer to GET, whatever the plugin says now: where none is
    /// allowed, [`LENGTH_AND_DIGESTS`] goes, and no length is told.
    pub hides_length: bool,
}

/// What comes of the mode that a response-headers phase asks for.
///
/// # Errors
/// [`HAS_NO_BODY_PHASE`].
pub fn reading_of_response(asked: BodyMode, has_phase: bool, end: bool) -> Result<ResponseReading, &'static str> {
    Ok(ResponseReading {
        mode: asked.granted(has_phase, !end)?,
        drops_description: asked != BodyMode::Skip,
        hides_length: has_phase && end,
    })
}

/// Whether a plugin may still answer in a body phase with a response of its own. `released`: it has let bytes go, or the
/// head has gone out. After that, answering and aborting come to the same: the stream is reset.
pub const fn may_answer(released: bool) -> bool {
    !released
}

/// The attribute of a manifest that tells where a plugin keeps what it must remember from one chunk of a body to the next,
/// and its value where that is the exchange. Any instance may then be given any chunk, none is held between them, and
/// the head of a response that is read in chunks goes out at once. Without the attribute, one instance is held for the
/// length of a body, and a response's head waits for the first bytes that the plugin lets go.
pub const STREAM_STATE: &str = "stream-state";
/// See [`STREAM_STATE`].
pub const IN_THE_EXCHANGE: &str = "exchange";

/// What a plugin may keep of a body between its chunks, in bytes. Whoever keeps more loses its place in the body, so the
/// stream is reset: how much is kept, a message may decide, and it must not be able to fail a plugin of policy `open`.
pub const MAX_STREAM_STATE: usize = 64 << 10;
/// Why a stream is reset whose plugin keeps more than [`MAX_STREAM_STATE`].
pub const KEEPS_TOO_MUCH: &str = "keeps more than 64 KiB of a body between its chunks";
/// Why a stream is reset whose plugin answers once the head has gone out.
pub const ANSWERS_TOO_LATE: &str = "answered after it had let bytes go, or the head";

/// The body whose state a call works on: that of the message whose head or body it is given.
pub const fn stream_of(phase: Phase) -> Option<Direction> {
    match phase {
        Phase::RequestHeaders | Phase::RequestBody => Some(Direction::Request),
        Phase::ResponseHeaders | Phase::ResponseBody => Some(Direction::Response),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_says_once_what_it_depends_on() {
        let says = |value: &str| says_varies(&vec![("vary".to_owned(), value.into())]);
        assert!(says("*") && says("Accept-Encoding") && says("origin, accept-encoding"));
        assert!(!says("") && !says("origin") && !says("accept"));
    }

    #[test]
    fn whoever_asks_for_a_whole_body_is_called_and_whoever_can_t_read_one_is_refused() {
        for end in [false, true] {
            assert_eq!(BodyMode::Whole.of_request(true, end, true), Ok(BodyMode::Whole));
            assert_eq!(BodyMode::Skip.of_request(false, end, false), Ok(BodyMode::Skip));
            assert_eq!(BodyMode::Whole.of_request(false, end, false), Err(HAS_NO_BODY_PHASE));
            assert_eq!(reading_of_response(BodyMode::Chunks, false, end), Err(HAS_NO_BODY_PHASE));
        }
        assert_eq!(BodyMode::Chunks.of_request(true, true, false), Ok(BodyMode::Chunks));
        assert_eq!(BodyMode::Chunks.of_request(true, true, true), Ok(BodyMode::Skip), "it was built for that");
        assert_eq!(BodyMode::Chunks.granted(true, false), Ok(BodyMode::Skip));
    }

    #[test]
    fn the_head_of_a_response_that_is_read_tells_nothing_of_its_bytes() {
        let head = reading_of_response(BodyMode::Chunks, true, true).unwrap();
        assert_eq!(head, ResponseReading { mode: BodyMode::Skip, drops_description: true, hides_length: true });
        let skipped = reading_of_response(BodyMode::Skip, true, true).unwrap();
        assert!(!skipped.drops_description && skipped.hides_length, "it may read the body of an answer to GET");
        let other = reading_of_response(BodyMode::Skip, false, true).unwrap();
        assert!(!other.drops_description && !other.hides_length);
    }
}
