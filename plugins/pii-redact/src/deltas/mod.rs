//! Reads streams in which a text is parted over events, as language models send it: in event streams, in NDJSON, and as the
//! elements of a JSON array.
//!
//! An event goes out when it has come. Where it has text at a known path ([`paths`]), the text is read by the scanner of
//! that text, and what that lets go stands in its place: so the event stays valid, and only what may still become a value
//! waits for the next event. What is left at the end of a text goes out in the event that ends it, or in one of its own
//! before that ([`skeleton`]). All else is read by one scanner for the whole stream, as if there were no texts.
//!
//! An event is read as a whole, up to a bound. Of a larger one the texts are known that begin within the bound; the last of
//! them is read on as it comes. Everything kept between chunks is bounded: where more texts go on at once than can be kept,
//! those beyond are replaced by `***`, because parts of values can't be told from other words.

mod json;
mod keys;
pub mod paths;
mod skeleton;
mod units;
mod walk;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::content::Format;
use crate::reader::Reader;
use crate::replace::Pseudonyms;
use crate::rules::Rules;
use crate::scanner::{self, Blocked, Outcome};
use keys::{Call, Keys};
use units::{Framing, Units};
use walk::{Found, Id, walk};

/// Bytes of an event that is read as a whole.
pub const MOST_EVENT: usize = 16 << 10;

/// Bytes that may wait in all: an event, and what texts hold back.
pub const MOST_HELD: usize = MOST_EVENT + keys::BUDGET + scanner::MOST_HELD;
/// Bytes that have to say whether JSON is a stream.
const MOST_SNIFFED: usize = 64;

/// What an event of Gemini may begin with (ai.google.dev/api/generate-content, GenerateContentResponse).
const FIRST_MEMBERS: [&[u8]; 5] =
    [b"\"candidates\"", b"\"promptFeedback\"", b"\"usageMetadata\"", b"\"modelVersion\"", b"\"responseId\""];

/// The state of a stream of events; used as [`scanner::Scanner`] is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deltas {
    format: Format,
    kind: Kind,
    /// The first bytes, as long as they don't say what comes.
    start: Vec<u8>,
    units: Units,
    /// The start of an event that isn't all there.
    partial: Vec<u8>,
    /// In an event that was too large to wait for.
    passing: bool,
    /// In such an event, in a text.
    text: Option<Text>,
    keys: Keys,
    /// Reads all that is no text.
    plain: Reader,
    /// Something was replaced in some text.
    replaced: bool,
    counts: Vec<u32>,
}

/// Whether a body is a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// Its first bytes have to say it.
    Unknown,
    Stream,
    /// It is one document.
    Document,
}

impl Kind {
    /// What JSON is: an array of events begins as Gemini's do where they aren't asked for as an event stream, and all else
    /// is a document.
    fn of_array(start: &[u8], last: bool) -> Self {
        let waits = start.len() < MOST_SNIFFED && !last;
        let mut rest = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
        for tokens in [&[&b"["[..]][..], &[b"{"], &FIRST_MEMBERS] {
            rest = rest.trim_ascii_start();
            match tokens.iter().find_map(|token| rest.strip_prefix(*token)) {
                Some(behind) => rest = behind,
                None if waits && tokens.iter().any(|token| token.starts_with(rest)) => return Self::Unknown,
                None => return Self::Document,
            }
        }
        Self::Stream
    }
}

/// A text that goes on through a large event.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text {
    id: Id,
    /// An escape that is cut.
    cut: Vec<u8>,
}

impl Deltas {
    /// Whether a format is one of events, or may be.
    pub fn reads(format: Format) -> bool {
        matches!(format, Format::Events | Format::JsonLines | Format::Json)
    }

    /// At the start of a stream; `restores`: values return to it in the place of their placeholders.
    pub fn new(format: Format, restores: bool) -> Self {
        Self {
            format,
            units: Units::new(Framing::of(format)),
            kind: if format == Format::Json { Kind::Unknown } else { Kind::Stream },
            start: Vec::new(),
            partial: Vec::new(),
            passing: false,
            text: None,
            keys: Keys::new(restores),
            plain: Reader::new(format, restores.then_some(format)),
            replaced: false,
            counts: Vec::new(),
        }
    }

    /// See [`scanner::Scanner::set_name`]; of what is one document.
    pub fn set_name(&mut self, name: &[u8]) {
        self.plain.set_name(name);
    }

    /// How many bytes wait for what comes next.
    pub fn held(&self) -> usize {
        self.start.len() + self.partial.len() + self.plain.held() + self.keys.held()
    }

    /// Values found since the last call, by category number; empty where none was.
    pub fn take_counts(&mut self) -> Vec<u32> {
        keys::add(&mut self.counts, &self.plain.take_counts());
        std::mem::take(&mut self.counts)
    }

    /// Reads the next chunk and appends what may go on to `out`. `last`: nothing follows, so nothing is held back.
    ///
    /// # Errors
    /// Where a value was found that must not pass.
    pub fn push(
        &mut self,
        rules: &Rules,
        pseudonyms: &impl Pseudonyms,
        chunk: &[u8],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Blocked> {
        let mut call = Call { rules, pseudonyms, out };
        if self.kind != Kind::Unknown {
            return self.read(&mut call, chunk, last);
        }
        let start = std::mem::take(&mut self.start);
        let joined = if start.is_empty() { Cow::Borrowed(chunk) } else { Cow::Owned([&start, chunk].concat()) };
        self.kind = Kind::of_array(&joined, last);
        if self.kind == Kind::Unknown {
            self.start = joined.into_owned();
            return Ok(if chunk.is_empty() { Outcome::Unchanged } else { Outcome::Rewritten });
        }
        let outcome = self.read(&mut call, &joined, last)?;
        if start.is_empty() {
            return Ok(outcome);
        }
        if outcome == Outcome::Unchanged {
            out.extend_from_slice(&joined);
        }
        Ok(Outcome::Rewritten)
    }

    fn read<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>, chunk: &[u8], last: bool) -> Result<Outcome, Blocked> {
        if self.kind == Kind::Document {
            return self.plain.push(call.rules, call.pseudonyms, chunk, last, call.out);
        }
        let written = call.out.len();
        let waited = !self.partial.is_empty();
        // The plain reader has yet to see the bytes from here on.
        let run = self.events(call, chunk)?;
        let untouched = run == 0 && !waited && self.partial.is_empty();
        if untouched && !(last && (!self.keys.is_idle() || self.text.is_some())) {
            return self.plain.push(call.rules, call.pseudonyms, chunk, last, call.out);
        }
        self.plain(call, &chunk[run..])?;
        if last {
            self.finish(call)?;
        }
        if call.out[written..] == *chunk {
            call.out.truncate(written);
            return Ok(Outcome::Unchanged);
        }
        Ok(Outcome::Rewritten)
    }

    /// Reads the events of a chunk. From the returned position on, all is plain, and not read yet.
    fn events<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>, chunk: &[u8]) -> Result<usize, Blocked> {
        let (mut run, mut at) = (0, 0);
        while at < chunk.len() {
            if self.passing {
                let end = self.units.end(&chunk[at..]);
                let to = end.map_or(chunk.len(), |end| at + end);
                if self.text.is_some() {
                    self.plain(call, &chunk[run..at])?;
                    self.pass(call, &chunk[at..to])?;
                    run = to;
                }
                self.passing = end.is_none();
                at = to;
                continue;
            }
            let room = MOST_EVENT - self.partial.len();
            let near = &chunk[at..chunk.len().min(at + room)];
            let end = self.units.end(near);
            if end.is_none() && near.len() < room {
                self.plain(call, &chunk[run..at])?;
                self.partial.extend_from_slice(near);
                return Ok(chunk.len());
            }
            let to = at + end.unwrap_or(room);
            self.passing = end.is_none();
            if self.partial.is_empty() {
                let found = self.walk(call, &chunk[at..to], end.is_none());
                if !self.is_plain(&found) {
                    self.plain(call, &chunk[run..at])?;
                    self.event(call, &chunk[at..to], &found, false)?;
                    run = to;
                }
            } else {
                let mut event = std::mem::take(&mut self.partial);
                event.extend_from_slice(&chunk[at..to]);
                let found = self.walk(call, &event, end.is_none());
                self.event(call, &event, &found, false)?;
                run = to;
            }
            at = to;
        }
        Ok(run)
    }

    /// What an event holds; `cut`: it goes on.
    fn walk<P>(&self, call: &Call<'_, P>, event: &[u8], cut: bool) -> Found {
        let paths = call.rules.paths();
        if self.keys.is_idle() && !paths.may_be_in(event) {
            return Found::default();
        }
        walk(paths, event, self.units.framing, cut)
    }

    /// Whether an event neither has text nor ends any.
    fn is_plain(&self, found: &Found) -> bool {
        found.leaves.is_empty() && found.echoes.is_empty() && (self.keys.is_idle() || !found.ends_any())
    }

    /// An event, or as much of it as is waited for. `last`: nothing follows, so it ends all texts.
    fn event<P: Pseudonyms>(
        &mut self,
        call: &mut Call<'_, P>,
        event: &[u8],
        found: &Found,
        last: bool,
    ) -> Result<(), Blocked> {
        for leaf in found.leaves.iter().filter(|leaf| !leaf.span.is_empty()) {
            self.keys.continues(&leaf.id);
        }
        let (paths, finish) = (call.rules.paths(), self.keys.believes_finish());
        let ends = |id: &Id| last || found.ends(id, paths, finish);
        let here = |id: &Id| found.leaves.iter().any(|leaf| leaf.id == *id);
        let ended: Vec<Id> = self.keys.open().filter(|id| ends(id) && !here(id)).cloned().collect();
        self.tails(call, &ended, event)?;
        let mut texts = Vec::with_capacity(found.leaves.len());
        for (index, leaf) in found.leaves.iter().enumerate() {
            let mut cut = Vec::new();
            let mut text = json::decode(&event[leaf.span.clone()], &mut cut);
            if !leaf.open || last {
                // No escape at all.
                text.to_mut().append(&mut cut);
            }
            let again = found.leaves[index + 1..].iter().any(|other| other.id == leaf.id);
            let done = ends(&leaf.id) && !again && (!leaf.open || last);
            let before = self.counts.iter().sum::<u32>();
            let released = self.keys.push(call, &leaf.id, &text, done, &mut self.counts)?;
            self.replaced |= self.counts.iter().sum::<u32>() > before;
            texts.push(if released == *text && cut.is_empty() { None } else { Some(released) });
            if leaf.open && !last {
                self.text = Some(Text { id: leaf.id.clone(), cut });
            }
        }
        self.remember(event, found);
        self.write(call, event, found, &texts)
    }

    /// Keeps an event, without its texts, to carry what is left of them.
    fn remember(&mut self, event: &[u8], found: &Found) {
        let starts: Vec<usize> = found.leaves.iter().map(|leaf| leaf.span.start).collect();
        let framing = self.units.framing;
        self.keys.remember(|id, held| {
            let leaf = found.leaves.iter().rfind(|leaf| leaf.id == *id)?;
            let wanted = held > 0 || leaf.open;
            Some(if wanted { skeleton::skeleton(event, framing, leaf.span.start, &starts) } else { None })
        });
    }

    /// Writes an event with its new texts, and without what would repeat the old ones.
    fn write<P: Pseudonyms>(
        &mut self,
        call: &mut Call<'_, P>,
        event: &[u8],
        found: &Found,
        texts: &[Option<Vec<u8>>],
    ) -> Result<(), Blocked> {
        let changed = |echo: &&walk::Echo| match &echo.leaves {
            Some(leaves) => texts[leaves.clone()].iter().any(Option::is_some),
            None => self.replaced,
        };
        // Of the same type as before, as far as that can be empty.
        let empty = |echo: &walk::Echo| if event[echo.span.start] == b'[' { &b"[]"[..] } else { b"null" };
        let echoes = found.echoes.iter().filter(changed).map(|echo| (echo.span.clone(), Err(empty(echo))));
        let leaves = found.leaves.iter().zip(texts);
        let leaves = leaves.filter_map(|(leaf, text)| Some((leaf.span.clone(), Ok(text.as_ref()?))));
        let mut pieces: Vec<_> = echoes.chain(leaves).collect();
        pieces.sort_by_key(|(span, _)| span.start);
        let mut at = 0;
        for (span, text) in pieces {
            self.plain(call, &event[at..span.start])?;
            let mut content = Vec::new();
            match text {
                Err(empty) => self.plain(call, empty)?,
                Ok(text) => {
                    json::encode(text, &mut content);
                    // At the start of a string nothing waits; if it did, the text would have to wait behind it.
                    if self.plain.held() > 0 {
                        self.plain(call, &content)?;
                    } else {
                        call.out.append(&mut content);
                    }
                }
            }
            at = span.end;
        }
        self.plain(call, &event[at..])
    }

    /// Ends texts, each with an event of its own where something of it is left.
    fn tails<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>, ended: &[Id], next: &[u8]) -> Result<(), Blocked> {
        for id in ended {
            if let Some(tail) = self.keys.finish(call, id, &mut self.counts)? {
                tail.write(call, self.format, self.units.framing.around(next))?;
            }
        }
        Ok(())
    }

    /// A piece of a large event, in a text that goes on there.
    fn pass<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>, piece: &[u8]) -> Result<(), Blocked> {
        let Some(mut text) = self.text.take() else { return self.plain(call, piece) };
        let mut escaped = text.cut == b"\\";
        let end = piece.iter().position(|byte| {
            let ends = matches!(byte, b'\n' | b'\r') || (*byte == b'"' && !escaped);
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let content = json::decode(&piece[..end.unwrap_or(piece.len())], &mut text.cut);
        let released = self.keys.push(call, &text.id, &content, false, &mut self.counts)?;
        json::encode(&released, call.out);
        match end {
            Some(end) => self.plain(call, &piece[end..]),
            None => {
                self.text = Some(text);
                Ok(())
            }
        }
    }

    /// The end of the stream.
    fn finish<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>) -> Result<(), Blocked> {
        if let Some(text) = self.text.take() {
            // The event is broken off in it, so it has no end that could carry the rest.
            let rest = self.keys.push(call, &text.id, &text.cut, true, &mut self.counts)?;
            json::encode(&rest, call.out);
        }
        let event = std::mem::take(&mut self.partial);
        let found = self.walk(call, &event, true);
        self.event(call, &event, &found, true)?;
        keys::push(&mut self.plain, call, b"", true)
    }

    fn plain<P: Pseudonyms>(&mut self, call: &mut Call<'_, P>, bytes: &[u8]) -> Result<(), Blocked> {
        if bytes.is_empty() { Ok(()) } else { keys::push(&mut self.plain, call, bytes, false) }
    }
}
