//! The fields of a map: places in two texts.

use bytes::Bytes;

use super::name::{self, FieldKey, FieldName};
use super::value::FieldValue;
use crate::sensitive::no_content;

/// Fields that there are.
pub(super) struct Fields {
    /// The section as it came; names in lower case.
    pub(super) received: Bytes,
    /// Names and values that were added.
    pub(super) added: Vec<u8>,
    /// Bytes of `added` that no field has any more.
    pub(super) waste: usize,
    pub(super) list: Vec<Field>,
    /// The numbers of the names that are there, and perhaps of some that have been.
    pub(super) present: u128,
}

no_content!(Fields);

/// Where a field's name and value lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Of a well-known name, whose text is not looked at.
    pub(super) number: u8,
    pub(super) flags: u8,
    pub(super) name_length: u16,
    pub(super) name: u32,
    pub(super) value: u32,
    pub(super) value_length: u32,
}

/// The name was added.
const NAME_ADDED: u8 = 1;
/// The value was added.
pub(super) const VALUE_ADDED: u8 = 2;
/// Name and value lie in the received text as they are written to HTTP/1: `name: value`, and a line's end.
pub(super) const WHOLE: u8 = 4;
/// RFC 7541 section 7.1.3: it must not get into a compression context.
pub(super) const SENSITIVE: u8 = 8;

/// So much of what was added may be waste.
pub(super) const MOST_WASTE: usize = 1 << 10;

impl Fields {
    pub(super) const fn new() -> Self {
        Self { received: Bytes::new(), added: Vec::new(), waste: 0, list: Vec::new(), present: 0 }
    }

    /// None yet, with room for so many fields and so much text.
    pub(super) fn with_room(fields: usize, text: usize) -> Self {
        Self { added: Vec::with_capacity(text), list: Vec::with_capacity(fields), ..Self::new() }
    }

    #[inline]
    pub(super) fn position(&self, key: &FieldKey<'_>) -> Option<usize> {
        match key.name().number {
            0 => self.list.iter().position(|field| self.is(field, key)),
            number if self.present & name::bit(number) == 0 => None,
            number => self.list.iter().position(|field| field.number == number),
        }
    }

    /// Whether it is a field of this name.
    #[inline]
    pub(super) fn is(&self, field: &Field, key: &FieldKey<'_>) -> bool {
        match key.name().number {
            0 => key.is(self.name_of(field)),
            number => field.number == number,
        }
    }

    pub(super) fn append(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        let name_at = if name.is_known() { 0 } else { self.add(name.text) };
        let sensitive = if value.sensitive { SENSITIVE } else { 0 };
        let field = Field {
            number: name.number,
            flags: NAME_ADDED | VALUE_ADDED | sensitive,
            name_length: u16::try_from(name.text.len()).unwrap_or(u16::MAX),
            name: name_at,
            value: self.add(value.text),
            value_length: length(value.len()),
        };
        self.present |= name::bit(field.number);
        self.list.push(field);
    }

    pub(super) fn replace(&mut self, place: usize, key: &FieldKey<'_>, value: FieldValue<'_>) {
        self.remove_after(place, key);
        let before = self.list[place];
        let old = before.value as usize..before.value as usize + before.value_length as usize;
        let sensitive = if value.sensitive { SENSITIVE } else { 0 };
        let flags = before.flags & NAME_ADDED | VALUE_ADDED | sensitive;
        let was_added = before.flags & VALUE_ADDED != 0;
        let start = if was_added && value.len() <= old.len() {
            self.added[old.start..old.start + value.len()].copy_from_slice(value.text);
            self.waste += old.len() - value.len();
            before.value
        } else {
            self.waste += if was_added { old.len() } else { 0 };
            self.add(value.text)
        };
        self.list[place] = Field { flags, value: start, value_length: length(value.len()), ..before };
        self.tidy();
    }

    pub(super) fn remove(&mut self, place: usize, key: &FieldKey<'_>) {
        self.remove_after(place, key);
        let field = self.list.remove(place);
        self.drop_text(&field);
        self.present &= !name::bit(field.number);
        self.tidy();
    }

    /// Takes the fields of these names away that stand behind the first of them.
    fn remove_after(&mut self, place: usize, key: &FieldKey<'_>) {
        if self.list[place + 1..].iter().any(|field| self.is(field, key)) {
            let mut index = 0;
            self.retain(|fields, field| {
                index += 1;
                index <= place + 1 || !fields.is(field, key)
            });
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Self, &Field) -> bool) {
        let (mut kept, mut place) = (0, 0);
        while let Some(field) = self.list.get(place).copied() {
            if keep(self, &field) {
                self.list[kept] = field;
                kept += 1;
            } else {
                self.drop_text(&field);
            }
            place += 1;
        }
        if kept < self.list.len() {
            self.list.truncate(kept);
            self.present = self.list.iter().fold(0, |present, field| present | name::bit(field.number));
            self.tidy();
        }
    }

    #[inline]
    pub(super) fn name_of(&self, field: &Field) -> FieldName<'_> {
        let text = match field.number {
            0 => {
                let text = if field.flags & NAME_ADDED == 0 { &self.received[..] } else { &self.added[..] };
                &text[field.name as usize..field.name as usize + usize::from(field.name_length)]
            }
            number => name::text_of(number).as_bytes(),
        };
        FieldName { number: field.number, text }
    }

    #[inline]
    pub(super) fn value_of(&self, field: &Field) -> FieldValue<'_> {
        let text = if field.flags & VALUE_ADDED == 0 { &self.received[..] } else { &self.added[..] };
        let text = &text[field.value as usize..field.value as usize + field.value_length as usize];
        FieldValue { text, sensitive: field.flags & SENSITIVE != 0 }
    }

    /// Puts text behind what was added.
    #[inline]
    fn add(&mut self, text: &[u8]) -> u32 {
        let place = length(self.added.len());
        self.added.extend_from_slice(text);
        place
    }

    /// A field goes.
    #[inline]
    fn drop_text(&mut self, field: &Field) {
        if field.flags & NAME_ADDED != 0 && field.number == 0 {
            self.waste += usize::from(field.name_length);
        }
        if field.flags & VALUE_ADDED != 0 {
            self.waste += field.value_length as usize;
        }
    }

    /// Makes the text that was added anew where most of it is waste: who sets a field for ever must not fill the memory.
    #[inline]
    fn tidy(&mut self) {
        if self.waste > MOST_WASTE && self.waste > self.added.len() / 2 {
            self.compact();
        }
    }

    #[cold]
    fn compact(&mut self) {
        let old = std::mem::take(&mut self.added);
        for field in &mut self.list {
            let mut moved = |at: u32, count: usize| {
                let place = length(self.added.len());
                self.added.extend_from_slice(&old[at as usize..at as usize + count]);
                place
            };
            if field.flags & NAME_ADDED != 0 && field.number == 0 {
                field.name = moved(field.name, usize::from(field.name_length));
            }
            if field.flags & VALUE_ADDED != 0 {
                field.value = moved(field.value, field.value_length as usize);
            }
        }
        self.waste = 0;
    }
}

/// A length or place in a section, which is of a few hundred KiB at most.
pub(super) fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}
