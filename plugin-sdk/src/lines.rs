//! Bodies that are made of lines, and Server-Sent Events, which chunks cut anywhere. Both are state to be kept by
//! [`crate::Exchange::begin_stream`].
//!
//! ```
//! use plugin_sdk::lines::Events;
//! let mut events = Events::new();
//! assert!(events.push(b"event: price\ndata: 1", false).is_empty());
//! let [event] = events.push(b"7\n\n", false).try_into().unwrap();
//! assert_eq!((event.name(), event.data()), ("price".to_owned(), "17".to_owned()));
//! assert_eq!(event.with_data("**\n*"), b"event: price\ndata: **\ndata: *\n\n");
//! ```

use serde::{Deserialize, Serialize};

/// Cuts a body into its lines. What has not ended yet waits, so bound what you let it wait for: a stream keeps 64 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// At the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes wait for the end of their line.
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// The lines that end with this chunk, each with its line feed, so that all of them together are the body. `end`: nothing
    /// follows, so the last one needs none.
    pub fn push(&mut self, chunk: &[u8], end: bool) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.push(std::mem::take(&mut self.rest));
            }
        }
        if end && !self.rest.is_empty() {
            lines.push(std::mem::take(&mut self.rest));
        }
        lines
    }
}

/// Cuts an event stream (`text/event-stream`, of the HTML standard) into its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    rest: Vec<u8>,
    /// Up to here no event ends.
    seen: usize,
    /// The first event has come.
    begun: bool,
}

/// An event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    raw: Vec<u8>,
    /// It begins the stream, so that clients leave a byte order mark out which it begins with.
    first: bool,
}

/// What a client leaves out at the beginning of a stream.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Events {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes wait for the end of their event.
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// The events that end with this chunk. `end`: nothing follows; what has not ended then is no event to a client, and
    /// comes as the last one all the same, so that nothing passes by unread.
    pub fn push(&mut self, chunk: &[u8], end: bool) -> Vec<Event> {
        self.rest.extend_from_slice(chunk);
        let mut events = Vec::new();
        let mut from = 0;
        let mut at = self.seen;
        while let Some(next) = end_of_line(&self.rest, at, end) {
            let is_empty = matches!(self.rest[at], b'\n' | b'\r');
            at = next;
            if is_empty {
                events.push(self.event(from, at));
                from = at;
            }
        }
        if end && from < self.rest.len() {
            events.push(self.event(from, self.rest.len()));
            from = self.rest.len();
            at = from;
        }
        self.rest.drain(..from);
        self.seen = at - from;
        events
    }

    fn event(&mut self, from: usize, to: usize) -> Event {
        let first = !std::mem::replace(&mut self.begun, true);
        Event { raw: self.rest[from..to].to_vec(), first }
    }
}

/// Where the line that begins at `at` has ended: behind a line feed, a carriage return, or both. Behind a carriage return
/// that comes last a line feed may follow.
fn end_of_line(text: &[u8], at: usize, last: bool) -> Option<usize> {
    let found = at + text[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    match (text[found], text.get(found + 1)) {
        (b'\r', None) if !last => None,
        (b'\r', Some(b'\n')) => Some(found + 2),
        _ => Some(found + 1),
    }
}

impl Event {
    /// Its bytes as they came, to send them on.
    pub fn into_bytes(self) -> Vec<u8> {
        self.raw
    }

    /// Its bytes as clients read them.
    fn read(&self) -> &[u8] {
        self.raw.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.first).unwrap_or(&self.raw)
    }

    /// The values of its fields of this name; what isn't UTF-8 is replaced.
    fn values(&self, field: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(self.read());
        let lines = text.split(['\n', '\r']).filter(|line| !line.is_empty());
        lines
            .filter_map(|line| {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name == field).then(|| value.strip_prefix(' ').unwrap_or(value).to_owned())
            })
            .collect()
    }

    /// Its type; `message` where it says none.
    pub fn name(&self) -> String {
        let name = self.values("event").pop().unwrap_or_default();
        if name.is_empty() { "message".to_owned() } else { name }
    }

    /// Its data, line by line.
    pub fn data(&self) -> String {
        self.values("data").join("\n")
    }

    /// Its id, where it has one.
    pub fn id(&self) -> Option<String> {
        self.values("id").pop()
    }

    /// The event with other data, as bytes.
    pub fn with_data(&self, data: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw.len() + data.len());
        let is_data = |line: &[u8]| line == b"data" || line.starts_with(b"data:");
        for line in self.read().split(|byte| matches!(byte, b'\n' | b'\r')) {
            if !line.is_empty() && !is_data(line) {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
        // A carriage return ends a line too: what follows one must not become a field.
        for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_chunks_are_cut() {
        for stream in
            ["data: a\n\nid: 7\r\ndata:b\r\ndata: c\r\n\r\n: note\n\ndata", "event: x\rdata: y\r\rdata: z\n\n"]
        {
            let whole = Events::new().push(stream.as_bytes(), true);
            for cut in 0..=stream.len() {
                let (first, second) = stream.as_bytes().split_at(cut);
                let mut events = Events::new();
                let mut all = events.push(first, false);
                all.extend(events.push(second, true));
                assert_eq!(all, whole, "{stream:?} at {cut}");
            }
            let bytes: Vec<u8> = whole.into_iter().flat_map(Event::into_bytes).collect();
            assert_eq!(bytes, stream.as_bytes());
        }
    }

    #[test]
    fn an_event_says_what_it_is() {
        let [event] = Events::new().push(b"\xef\xbb\xbfid: 7\ndata:b\ndata: c\n\n", false).try_into().unwrap();
        assert_eq!((event.id().as_deref(), &*event.name(), &*event.data()), (Some("7"), "message", "b\nc"));
    }

    #[test]
    fn other_data_takes_the_place_of_what_a_client_would_read() {
        let mut events = Events::new();
        let stream = b"\xef\xbb\xbfdata: secret\nid: 1\n\n\xef\xbb\xbfdata: none\ndata: two\n\n";
        let [first, second] = events.push(stream, false).try_into().unwrap();
        assert_eq!((first.data().as_str(), second.data().as_str()), ("secret", "two"));
        assert_eq!(first.with_data("*"), b"id: 1\ndata: *\n\n");
        assert_eq!(second.with_data("*"), b"\xef\xbb\xbfdata: none\ndata: *\n\n", "a client reads no data there");
        assert_eq!(second.with_data("a\rid: 2\r\nb"), b"\xef\xbb\xbfdata: none\ndata: a\ndata: id: 2\ndata: b\n\n");
    }

    #[test]
    fn lines_come_when_they_have_ended() {
        let mut lines = Lines::new();
        assert_eq!(lines.push(b"a\nb", false), [b"a\n"]);
        assert_eq!(lines.held(), 1);
        assert_eq!(lines.push(b"c\n\nd", true), [&b"bc\n"[..], b"\n", b"d"]);
    }
}
