//! The fields of heads and trailers (RFC 9110 section 5).
//!
//! How they are kept is known to this folder alone: a list of places in two texts, in the order in which the fields came.
//! One text is that of the head as it was received, of which nothing is copied; what is added or changed stands in the other.
//! A message has some ten to thirty fields, and comparing names (those that are well known are numbers) is cheaper than
//! hashing them.

mod http_map;
mod name;
mod received;
mod spare;
mod value;

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use self::name::FieldKey;
pub use self::name::{AsFieldName, FieldName, IntoFieldName, KnownName, KnownNames, known};
pub use self::received::ReceivedFields;
pub use self::value::{AsFieldValue, FieldValue};

/// The fields of a head or of trailers: names with one value or several, each name's in their order.
///
/// It is a pointer: messages are moved about. Where it points to serves the next message of the thread afterwards.
#[derive(Default)]
pub struct FieldMap(Option<Box<Fields>>);

/// Fields that there are.
#[derive(Debug)]
struct Fields {
    /// The section as it came; names in lower case.
    received: Bytes,
    /// Names and values that were added.
    added: Vec<u8>,
    /// Bytes of `added` that no field has any more.
    waste: usize,
    list: Vec<Field>,
    /// The numbers of the names that are there, and perhaps of some that have been.
    present: u128,
}

static NONE: Fields = Fields::new();

/// Where a field's name and value lie.
#[derive(Clone, Copy, Debug)]
struct Field {
    /// Of a well-known name, whose text is not looked at.
    number: u8,
    flags: u8,
    name_length: u16,
    name: u32,
    value: u32,
    value_length: u32,
}

/// The name was added.
const NAME_ADDED: u8 = 1;
/// The value was added.
const VALUE_ADDED: u8 = 2;
/// Name and value lie in the received text as they are written to HTTP/1: `name: value`, and a line's end.
const WHOLE: u8 = 4;
/// RFC 7541 section 7.1.3: it must not get into a compression context.
const SENSITIVE: u8 = 8;

/// So much of what was added may be waste.
const MOST_WASTE: usize = 1 << 10;

impl FieldMap {
    /// Without fields.
    #[inline]
    pub const fn new() -> Self {
        Self(None)
    }

    /// How many fields there are, each value counted.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields().list.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fields().list.is_empty()
    }

    /// The first value of this name.
    #[inline]
    pub fn get(&self, name: impl AsFieldName) -> Option<FieldValue<'_>> {
        let fields = self.fields();
        fields.position(&name.key()).map(|place| fields.value_of(&fields.list[place]))
    }

    /// All values of this name.
    #[inline]
    pub fn get_all<'a>(
        &'a self,
        name: &'a (impl AsFieldName + ?Sized),
    ) -> impl DoubleEndedIterator<Item = FieldValue<'a>> {
        let (key, fields) = (name.key(), self.fields());
        let list: &[Field] = if key.may_be_in(fields.present) { &fields.list } else { &[] };
        list.iter().filter(move |field| fields.is(field, &key)).map(|field| fields.value_of(field))
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains_key(&self, name: impl AsFieldName) -> bool {
        self.fields().position(&name.key()).is_some()
    }

    /// Whether there may be a field of one of these names. `false` is certain.
    #[inline]
    pub fn may_have(&self, names: KnownNames) -> bool {
        self.fields().present & names.0 != 0
    }

    /// Every field's name, in order: as often as it has values.
    #[inline]
    pub fn names(&self) -> impl Iterator<Item = FieldName<'_>> {
        let fields = self.fields();
        fields.list.iter().map(|field| fields.name_of(field))
    }

    /// Every field, in order.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        let fields = self.fields();
        Iter { fields, list: fields.list.iter() }
    }

    /// Gives the name this value alone, in the place of the first that it had.
    pub fn insert(&mut self, name: impl IntoFieldName, value: impl AsFieldValue) {
        let (key, value) = (name.key(), value.value());
        match self.fields().position(&key) {
            None => self.append(name, value),
            Some(place) => self.fields_mut().replace(place, &key, value),
        }
    }

    /// Gives the name one more value.
    #[inline]
    pub fn append(&mut self, name: impl IntoFieldName, value: impl AsFieldValue) {
        name.check();
        self.fields_mut().append(name.key().name(), value.value());
    }

    /// Takes all fields of this name away. Whether there was one.
    #[inline]
    pub fn remove(&mut self, name: impl AsFieldName) -> bool {
        let key = name.key();
        let Some(place) = self.fields().position(&key) else { return false };
        self.fields_mut().remove(place, &key);
        true
    }

    /// Takes all fields of these names away.
    pub fn remove_all(&mut self, names: KnownNames) {
        if self.may_have(names) {
            self.fields_mut().retain(|_, field| !names.has(field.number));
        }
    }

    /// Keeps the fields of which this says so.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(FieldName<'_>, FieldValue<'_>) -> bool) {
        if !self.is_empty() {
            self.fields_mut().retain(|fields, field| keep(fields.name_of(field), fields.value_of(field)));
        }
    }

    /// Takes all fields away.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// The bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.fields().list.iter().map(|field| usize::from(field.name_length) + field.value_length as usize).sum()
    }

    #[inline]
    fn fields(&self) -> &Fields {
        self.0.as_deref().unwrap_or(&NONE)
    }

    #[inline]
    fn fields_mut(&mut self) -> &mut Fields {
        self.0.get_or_insert_with(spare::take)
    }
}

impl Fields {
    const fn new() -> Self {
        Self { received: Bytes::new(), added: Vec::new(), waste: 0, list: Vec::new(), present: 0 }
    }

    #[inline]
    fn position(&self, key: &FieldKey<'_>) -> Option<usize> {
        match key.name().number {
            0 => self.list.iter().position(|field| self.is(field, key)),
            number if self.present & name::bit(number) == 0 => None,
            number => self.list.iter().position(|field| field.number == number),
        }
    }

    /// Whether it is a field of this name.
    #[inline]
    fn is(&self, field: &Field, key: &FieldKey<'_>) -> bool {
        match key.name().number {
            0 => key.is(self.name_of(field)),
            number => field.number == number,
        }
    }

    fn append(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
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

    fn replace(&mut self, place: usize, key: &FieldKey<'_>, value: FieldValue<'_>) {
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

    fn remove(&mut self, place: usize, key: &FieldKey<'_>) {
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

    fn retain(&mut self, mut keep: impl FnMut(&Self, &Field) -> bool) {
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
    fn name_of(&self, field: &Field) -> FieldName<'_> {
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
    fn value_of(&self, field: &Field) -> FieldValue<'_> {
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
fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

impl Clone for FieldMap {
    fn clone(&self) -> Self {
        let Some(fields) = &self.0 else { return Self::new() };
        let mut clone = spare::take();
        (clone.received, clone.waste, clone.present) = (fields.received.clone(), fields.waste, fields.present);
        clone.added.extend_from_slice(&fields.added);
        clone.list.extend_from_slice(&fields.list);
        Self(Some(clone))
    }
}

impl fmt::Debug for FieldMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for FieldMap {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        let mut map = Self::new();
        fields.into_iter().for_each(|(name, value)| map.append(name, value));
        map
    }
}

/// Goes through all fields.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    fields: &'a Fields,
    list: std::slice::Iter<'a, Field>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (FieldName<'a>, FieldValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.list.next()?;
        Some((self.fields.name_of(field), self.fields.value_of(field)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl<'a> IntoIterator for &'a FieldMap {
    type Item = (FieldName<'a>, FieldValue<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The same values for each name: the order of different names says nothing (RFC 9110 section 5.3).
impl PartialEq for FieldMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.names().all(|name| self.get_all(&name).eq(other.get_all(&name)))
    }
}

impl Eq for FieldMap {}

/// For tests: it panics where there is no such field, or no text.
#[cfg(test)]
impl FieldMap {
    pub(crate) fn text(&self, name: impl AsFieldName) -> &str {
        self.get(name).expect("there is a field of this name").to_str().expect("it is text")
    }
}

#[cfg(test)]
mod tests;
