//! Event streams (HTML standard, section 9.2.6): text by lines, where the data of an event may be JSON over several lines.

use super::{Chunk, Place, Scanner, Step, json};

const NAME: &[u8] = b"data:";

impl Scanner {
    /// The start of a line. Data that begins with an object or array is read as JSON up to the blank line that ends the
    /// event, all else as text.
    pub(super) fn line<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize, after_return: bool) -> Step {
        let rest = &chunk.raw[at..];
        if let byte @ (b'\n' | b'\r') = rest[0] {
            // A line feed behind a carriage return is the rest of the same line break.
            if !(after_return && byte == b'\n') {
                self.json = json::State::default();
            }
            return self.enter(chunk, Place::Line(byte == b'\r'), at + 1);
        }
        let common = rest.iter().zip(NAME).take_while(|(byte, name)| byte == name).count();
        let space = usize::from(rest.get(NAME.len()) == Some(&b' '));
        let behind = NAME.len() + space;
        if !chunk.last && (common == rest.len() || (common == NAME.len() && rest.len() <= behind)) {
            return Step::Hold(at);
        }
        if common < NAME.len() {
            return self.enter(chunk, Place::Text, at);
        }
        self.json.begun |= matches!(rest.get(behind), Some(b'{' | b'['));
        let place = match (self.json.begun, self.json.broken) {
            (false, _) => Place::Text,
            (true, false) => Place::JsonOutside,
            (true, true) => Place::Loose,
        };
        self.enter(chunk, place, at + behind.min(rest.len()))
    }
}
