//! What of bodies plugins read, what a message's head may then still say, and what becomes of their answers.

use crate::fields::Fields;

/// What describes the bytes of a body as it came: gone from the head once a plugin may change them. The length first, then
/// digests of content or representation (RFC 1864, RFC 3230, RFC 9530), then what tells versions apart or offers parts.
pub const OF_THE_BYTES: [&str; 7] =
    ["content-length", "content-md5", "digest", "content-digest", "repr-digest", "etag", "accept-ranges"];

/// The first of [`OF_THE_BYTES`]: what tells of a body that isn't sent, and that nobody knows as it would be (an answer to
/// HEAD, a 304). What tells versions apart stays there: a plugin that leaves bodies as they are leaves it in answers to GET.
pub const LENGTH_AND_DIGESTS: usize = 5;

/// A plugin can't read parts (RFC 9110 section 14.2) nor content codings (section 12.5.3), so where one reads responses these
/// are taken off the request and `Accept-Encoding: identity` is put there.
pub const ASKS_FOR_OTHER_BYTES: [&str; 3] = ["accept-encoding", "range", "if-range"];

/// Whether the content is encoded (RFC 9110 section 8.4), so that a plugin would see gibberish. Of the values of
/// Content-Encoding.
pub fn is_encoded<'a>(codings: impl IntoIterator<Item = &'a [u8]>) -> bool {
    codings
        .into_iter()
        .flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether these fields say that the content is encoded.
pub fn says_encoded(fields: &impl Fields) -> bool {
    is_encoded(fields.values("content-encoding"))
}

/// What a headers phase asks for of the body that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// Nothing: it goes past the plugin.
    #[default]
    Skip,
    /// A call for each chunk.
    Chunks,
    /// One call with all of it.
    Whole,
}

impl BodyMode {
    /// What comes of it: nothing where the plugin has no phase for that body, or no body follows.
    #[must_use]
    pub const fn granted(self, has_phase: bool, end: bool) -> Self {
        if has_phase && !end { self } else { Self::Skip }
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
pub const fn reading_of_response(asked: BodyMode, has_phase: bool, end: bool) -> ResponseReading {
    ResponseReading {
        mode: asked.granted(has_phase, end),
        drops_description: has_phase && !matches!(asked, BodyMode::Skip),
        hides_length: has_phase && end,
    }
}

/// Whether a plugin may still answer in a body phase with a response of its own. `released`: it has let bytes go. After
/// that, answering and aborting come to the same: the stream is reset.
pub const fn may_answer(released: bool) -> bool {
    !released
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identity_is_readable() {
        let encoded = |value: &str| says_encoded(&vec![("content-encoding".to_owned(), value.into())]);
        assert!(!is_encoded([]));
        assert!(!encoded("identity") && !encoded("Identity, identity") && !encoded(""));
        assert!(encoded("gzip") && encoded("identity, br") && encoded("unknown"));
    }

    #[test]
    fn a_body_is_read_where_there_is_one_and_a_phase_for_it() {
        assert_eq!(BodyMode::Whole.granted(true, false), BodyMode::Whole);
        assert_eq!(BodyMode::Whole.granted(false, false), BodyMode::Skip);
        assert_eq!(BodyMode::Chunks.granted(true, true), BodyMode::Skip);
        let head = reading_of_response(BodyMode::Chunks, true, true);
        assert_eq!(head, ResponseReading { mode: BodyMode::Skip, drops_description: true, hides_length: true });
        let skipped = reading_of_response(BodyMode::Skip, true, true);
        assert!(!skipped.drops_description && skipped.hides_length, "it may read the body of an answer to GET");
        let other = reading_of_response(BodyMode::Chunks, false, true);
        assert!(!other.drops_description && !other.hides_length);
    }
}
