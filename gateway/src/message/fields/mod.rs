//! The fields of heads and trailers (RFC 9110 section 5).
//!
//! How they are kept is known to this folder alone: a list of places in two texts, in the order in which the fields came.
//! One text is that of the head as it was received, of which nothing is copied; what is added or changed stands in the other.
//! A message has some ten to thirty fields, and comparing names (those that are well known are numbers) is cheaper than
//! hashing them.

mod http_map;
mod list;
mod name;
mod received;
mod spare;
mod value;

use std::fmt;

use http::{HeaderName, HeaderValue};

use self::list::{Field, Fields};
#[cfg(test)]
pub(crate) use self::name::known_texts;
pub use self::name::{AsFieldName, FieldName, IntoFieldName, KnownName, KnownNames, known};
pub use self::received::ReceivedFields;
pub use self::value::{AsFieldValue, FieldValue};

/// The fields of a head or of trailers: names with one value or several, each name's in their order.
///
/// It is a pointer: messages are moved about. Where it points to serves the next message of the thread afterwards.
///
/// ```
/// use gateway::message::FieldMap;
/// use http::{HeaderName, HeaderValue};
/// let field = (HeaderName::from_static("x-kari"), HeaderValue::from_static("kari"));
/// let fields = FieldMap::from_iter([field]);
/// assert!(!format!("{fields:?}").contains("kari"));
/// ```
///
/// ```compile_fail
/// use gateway::message::FieldMap;
/// use http::{HeaderName, HeaderValue};
/// let field = (HeaderName::from_static("x-kari"), HeaderValue::from_static("kari"));
/// let fields = FieldMap::from_iter([field]);
/// assert!(!format!("{fields}").contains("kari"));
/// ```
#[derive(Default)]
pub struct FieldMap(Option<Box<Fields>>);

static NONE: Fields = Fields::new();

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

    /// The same fields in memory of their own, and in no more than they need: for whoever keeps them.
    #[must_use]
    pub fn to_kept(&self) -> Self {
        let mut kept = Fields::with_room(self.len(), self.bytes());
        self.iter().for_each(|(name, value)| kept.append(name, value));
        Self(Some(Box::new(kept)))
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

impl Drop for FieldMap {
    #[inline]
    fn drop(&mut self) {
        if let Some(fields) = self.0.take() {
            spare::give_back(fields);
        }
    }
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

/// How many there are, and nothing of them.
impl fmt::Debug for FieldMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FieldMap").field(&self.len()).finish()
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
        self.get(name).expect("there is a field of this name").expose_str().expect("it is text")
    }
}

#[cfg(test)]
mod tests;
