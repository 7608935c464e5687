//! What was announced as JSON and isn't: text, HTML, a string with a raw line break in it. Quotes part values in it, as in
//! JSON, but nothing between them is taken for structure; the values of listed fields are still known by their names.

use super::json::last_string;
use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::replace::Pseudonyms;

impl Scanner {
    /// A quote, which may open a string or close one: a listed name before it makes what follows its value.
    pub(super) fn loose_quote<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let context = self.context(chunk.raw, at);
        let name = [&context, &b"\""[..]].concat();
        let listed = last_string(&name).is_some_and(|name| chunk.rules.fields().lists(name));
        self.enter(chunk, if listed { Place::LooseName(false) } else { Place::Loose }, at + 1)
    }

    /// Behind the name of a listed field: a colon, and then the value.
    pub(super) fn loose_name<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
        colon: bool,
    ) -> Result<Step, Blocked> {
        match chunk.raw[at] {
            b' ' | b'\t' => Ok(Step::To(at + 1)),
            byte @ (b'\n' | b'\r') if !self.ends_strings(byte) => Ok(Step::To(at + 1)),
            b':' if !colon => Ok(self.enter(chunk, Place::LooseName(true), at + 1)),
            b'"' if colon => self.swallow_string(chunk, at),
            byte if colon && (byte == b'-' || byte.is_ascii_alphanumeric()) => self.swallow_token(chunk, at),
            _ => Ok(self.enter(chunk, Place::Loose, at)),
        }
    }
}
