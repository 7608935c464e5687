//! Values of the fields that the config lists: they go whatever they hold.

use std::borrow::Cow;

use super::{Blocked, Chunk, Place, Scanner, Step};
use crate::replace::{self, Encoding, Pseudonyms};
use crate::rules::Category;

impl Scanner {
    /// A form's `=`: the name of a value is before it.
    pub(super) fn form_name<P: Pseudonyms>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Result<Step, Blocked> {
        let context = self.context(chunk.raw, at);
        let start = context.iter().rposition(|byte| *byte == b'&');
        let name = &context[start.map_or(0, |start| start + 1)..];
        // A further `=` belongs to the value.
        if !name.contains(&b'=') {
            self.name.clear();
            self.name.extend_from_slice(name);
            if start.is_some() && chunk.rules.fields().lists_form_name(name) {
                let text = self.field_replacement(chunk)?;
                replace::write(&text, Encoding::Percent, chunk.edits.cut(at + 1, at + 1));
                return Ok(self.enter(chunk, Place::SwallowForm, at + 1));
            }
        }
        Ok(self.enter(chunk, Place::Form, at + 1))
    }

    /// What stands for the value of a listed field, which isn't read: its length is nobody's business either.
    pub(super) fn field_replacement<P: Pseudonyms>(
        &mut self,
        chunk: &Chunk<'_, P>,
    ) -> Result<Cow<'static, str>, Blocked> {
        let kind = Category::Field;
        let action = self.count(chunk.rules, kind as usize)?;
        let text = replace::replacement(action, Some(kind), chunk.rules.name(kind as usize), b"", chunk.pseudonyms);
        Ok(Cow::Owned(text.into_owned()))
    }

    pub(super) fn swallow_string<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
    ) -> Result<Step, Blocked> {
        self.json.field = false;
        let text = self.field_replacement(chunk)?;
        replace::write(&text, Encoding::Json, chunk.edits.cut(at + 1, at + 1));
        Ok(self.enter(chunk, Place::SwallowString(false), at + 1))
    }

    pub(super) fn swallow_token<P: Pseudonyms>(
        &mut self,
        chunk: &mut Chunk<'_, P>,
        at: usize,
    ) -> Result<Step, Blocked> {
        self.json.field = false;
        let text = self.field_replacement(chunk)?;
        let out = chunk.edits.cut(at, at);
        if text.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            replace::write_json_string(&text, out);
        }
        Ok(self.enter(chunk, Place::SwallowToken, at))
    }

    /// Leaves out the rest of a listed field's value.
    pub(super) fn swallow<P>(&mut self, chunk: &mut Chunk<'_, P>, at: usize) -> Step {
        let mut place = self.place;
        let end = chunk.raw[at..].iter().position(|&byte| match &mut place {
            Place::SwallowString(_) if self.ends_strings(byte) => true,
            Place::SwallowString(escaped) => {
                let ends = byte == b'"' && !*escaped;
                *escaped = byte == b'\\' && !*escaped;
                ends
            }
            Place::SwallowForm => byte == b'&',
            // What isn't JSON goes up to where JSON would go on.
            _ => matches!(byte, b',' | b']' | b'}' | b'"' | b'\n' | b'\r'),
        });
        let next = end.map_or(chunk.raw.len(), |end| at + end);
        chunk.edits.cut(at, next);
        let (place, skip) = match (end, place) {
            (None, place) => (place, 0),
            (Some(_), Place::SwallowForm) => (Place::Form, 0),
            (Some(_), Place::SwallowString(_)) => {
                let closed = chunk.raw[next] == b'"';
                self.json.broken |= !closed;
                (self.json_place(), usize::from(closed))
            }
            (Some(_), _) => (self.json_place(), 0),
        };
        self.enter(chunk, place, next + skip)
    }
}
