//! The fields of heads and trailers (RFC 9110 section 5).
//!
//! How they are kept is known to this file alone: in a list, in the order in which they came. A message has some ten to
//! thirty, and comparing names (those that are well known are numbers) is cheaper than hashing them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields of a head or of trailers: names with one value or several, each name's in their order.
#[derive(Clone, Debug, Default)]
pub struct FieldMap(Vec<(HeaderName, HeaderValue)>);

/// What a field can be looked up by: a name, or its text in any case.
pub trait AsFieldName {
    /// Whether this is the name.
    fn is(&self, name: &HeaderName) -> bool;
}

impl AsFieldName for HeaderName {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        self == name
    }
}

impl AsFieldName for str {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        name.as_str().eq_ignore_ascii_case(self)
    }
}

impl AsFieldName for String {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        self.as_str().is(name)
    }
}

impl<N: AsFieldName + ?Sized> AsFieldName for &N {
    #[inline]
    fn is(&self, name: &HeaderName) -> bool {
        (**self).is(name)
    }
}

/// What a field can be added under.
pub trait IntoFieldName: AsFieldName {
    /// The name.
    fn into_name(self) -> HeaderName;
}

impl IntoFieldName for HeaderName {
    #[inline]
    fn into_name(self) -> HeaderName {
        self
    }
}

impl IntoFieldName for &HeaderName {
    #[inline]
    fn into_name(self) -> HeaderName {
        self.clone()
    }
}

/// A name that is written in the code, in lower case: it panics where that is none.
impl IntoFieldName for &'static str {
    #[inline]
    fn into_name(self) -> HeaderName {
        HeaderName::from_static(self)
    }
}

impl FieldMap {
    /// Without fields.
    #[inline]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Without fields, with room for as many.
    #[inline]
    pub fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    /// How many fields there are, each value counted.
    #[inline]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of this name.
    #[inline]
    pub fn get(&self, name: impl AsFieldName) -> Option<&HeaderValue> {
        self.0.iter().find(|field| name.is(&field.0)).map(|field| &field.1)
    }

    /// All values of this name.
    #[inline]
    pub fn get_all(&self, name: impl AsFieldName) -> impl DoubleEndedIterator<Item = &HeaderValue> {
        self.0.iter().filter(move |field| name.is(&field.0)).map(|field| &field.1)
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains_key(&self, name: impl AsFieldName) -> bool {
        self.0.iter().any(|field| name.is(&field.0))
    }

    /// Every field's name, in order: as often as it has values.
    #[inline]
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|field| &field.0)
    }

    /// Every field, in order.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.0.iter())
    }

    /// Gives the name this value alone, in the place of the first that it had. That one, if any.
    pub fn insert(&mut self, name: impl IntoFieldName, value: HeaderValue) -> Option<HeaderValue> {
        let Some(place) = self.0.iter().position(|field| name.is(&field.0)) else {
            self.0.push((name.into_name(), value));
            return None;
        };
        self.remove_after(place, &name);
        Some(std::mem::replace(&mut self.0[place].1, value))
    }

    /// Gives the name one more value.
    #[inline]
    pub fn append(&mut self, name: impl IntoFieldName, value: HeaderValue) {
        self.0.push((name.into_name(), value));
    }

    /// Takes all fields of this name away. The first value that it had, if any.
    pub fn remove(&mut self, name: impl AsFieldName) -> Option<HeaderValue> {
        let place = self.0.iter().position(|field| name.is(&field.0))?;
        self.remove_after(place, &name);
        Some(self.0.remove(place).1)
    }

    /// Takes the fields of these names away that stand behind the first of them.
    fn remove_after(&mut self, place: usize, name: &impl AsFieldName) {
        if self.0[place + 1..].iter().any(|field| name.is(&field.0)) {
            let mut index = 0;
            self.0.retain(|field| {
                index += 1;
                index <= place + 1 || !name.is(&field.0)
            });
        }
    }

    /// Keeps the fields of which this says so.
    #[inline]
    pub fn retain(&mut self, mut keep: impl FnMut(&HeaderName, &HeaderValue) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Takes all fields away, and keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fields for somebody who wants them as the `http` crate keeps them.
    pub fn into_map(self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in self.0 {
            map.append(name, value);
        }
        map
    }

    /// Changes fields that somebody keeps as the `http` crate does.
    pub fn edit(map: &mut HeaderMap, edit: impl FnOnce(&mut Self)) {
        let mut fields = Self::from(std::mem::take(map));
        edit(&mut fields);
        *map = fields.into_map();
    }
}

impl From<HeaderMap> for FieldMap {
    fn from(map: HeaderMap) -> Self {
        let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(map.len());
        for (name, value) in map {
            // A name comes with its first value only.
            let known = || fields.last().map(|field| field.0.clone());
            if let Some(name) = name.or_else(known) {
                fields.push((name, value));
            }
        }
        Self(fields)
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for FieldMap {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

/// Goes through all fields.
#[derive(Clone, Debug)]
pub struct Iter<'a>(std::slice::Iter<'a, (HeaderName, HeaderValue)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a HeaderName, &'a HeaderValue);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a> IntoIterator for &'a FieldMap {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The same values for each name: the order of different names says nothing (RFC 9110 section 5.3).
impl PartialEq for FieldMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.names().all(|name| self.get_all(name).eq(other.get_all(name)))
    }
}

impl Eq for FieldMap {}

/// For tests: it panics where there is no such field.
#[cfg(test)]
impl<N: AsFieldName> std::ops::Index<N> for FieldMap {
    type Output = HeaderValue;

    fn index(&self, name: N) -> &HeaderValue {
        self.get(name).expect("there is a field of this name")
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, COOKIE, HOST};

    use super::*;

    #[test]
    fn fields_are_edited_by_name_and_become_a_map() {
        let mut fields = FieldMap::default();
        fields.append(COOKIE, HeaderValue::from_static("a=1"));
        fields.append(COOKIE, HeaderValue::from_static("b=2"));
        fields.insert(HOST, HeaderValue::from_static("a.test"));
        fields.insert(HOST, HeaderValue::from_static("b.test"));
        fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(fields.remove(&ACCEPT).unwrap(), "*/*");
        assert_eq!((fields.len(), fields.is_empty(), fields.iter().count()), (3, false, 3));
        assert_eq!(fields.names().collect::<Vec<_>>(), [&COOKIE, &COOKIE, &HOST]);
        assert_eq!(fields.get(HOST).unwrap(), "b.test");
        assert_eq!(fields.get_all(COOKIE).collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert!(!fields.contains_key(ACCEPT) && fields["host"] == "b.test");
        let mut map = fields.clone().into_map();
        FieldMap::edit(&mut map, |fields| drop(fields.remove(HOST)));
        assert_eq!((map.len(), FieldMap::from(map).len()), (2, 2));
        fields.insert(COOKIE, HeaderValue::from_static("c=3"));
        assert_eq!(fields.get_all("Cookie").collect::<Vec<_>>(), ["c=3"]);
        fields.append("host", HeaderValue::from_static("c.test"));
        assert_eq!(fields.remove("HOST").unwrap(), "b.test");
        assert_eq!(fields.len(), 1, "all of the name are gone");
        fields.clear();
        assert!(fields.is_empty());
    }
}
