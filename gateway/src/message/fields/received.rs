//! Fields as HTTP/1 has them: read where they lie, and written as they lay.

use std::ops::Range;

use bytes::Bytes;

use super::list::{Field, Fields, WHOLE, length};
use super::{FieldMap, FieldName, name, spare};

/// The fields of a section that is being read.
#[derive(Debug)]
pub struct ReceivedFields(Box<Fields>);

impl ReceivedFields {
    /// None yet.
    pub fn new() -> Self {
        Self(spare::take())
    }

    /// Notes the field of a line: its name, in lower case, with the name's place and the value's place in the section. `whole`:
    /// nothing but `: ` lies between them, and CR LF behind.
    #[inline]
    pub fn push(&mut self, name: FieldName<'_>, place: usize, value: Range<usize>, whole: bool) {
        self.0.present |= name::bit(name.number);
        self.0.list.push(Field {
            number: name.number,
            flags: if whole { WHOLE } else { 0 },
            name_length: u16::try_from(name.text.len()).unwrap_or(u16::MAX),
            name: length(place),
            value: length(value.start),
            value_length: length(value.len()),
        });
    }

    /// All of them, now that the section is kept.
    pub fn of(mut self, section: Bytes) -> FieldMap {
        self.0.received = section;
        FieldMap(Some(self.0))
    }
}

impl Default for ReceivedFields {
    fn default() -> Self {
        Self::new()
    }
}

impl FieldMap {
    /// Writes the lines of HTTP/1 (RFC 9112 section 5). Fields that lie behind each other as they came are copied at once.
    pub fn write_lines(&self, out: &mut Vec<u8>) {
        // No more than what there is, and names that are numbers.
        const AROUND: usize = 32;
        let fields = self.fields();
        out.reserve(fields.received.len() + fields.added.len() + fields.list.len() * AROUND);
        let mut list = fields.list.iter().peekable();
        while let Some(first) = list.next() {
            if first.flags & WHOLE == 0 {
                out.extend_from_slice(fields.name_of(first).text);
                out.extend_from_slice(b": ");
                out.extend_from_slice(fields.value_of(first).text);
                out.extend_from_slice(b"\r\n");
                continue;
            }
            let mut end = first.value + first.value_length + 2;
            while let Some(next) = list.next_if(|next| next.flags & WHOLE != 0 && next.name == end) {
                end = next.value + next.value_length + 2;
            }
            out.extend_from_slice(&fields.received[first.name as usize..end as usize]);
        }
    }
}
