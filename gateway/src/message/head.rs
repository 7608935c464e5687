//! The head of a request as a protocol hands it over, and the fields of heads and trailers.
//!
//! How fields are kept is known to this file alone, so that a codec may keep them as it read them: whoever needs a
//! [`HeaderMap`] says so, and pays for it then.

use http::header::{AsHeaderName, IntoHeaderName};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};

/// The head of a request as it came.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target in the form that it was sent in.
    pub target: Uri,
    /// The version that the request was sent in.
    pub version: Version,
    /// Its fields, as they were sent.
    pub fields: FieldMap,
}

impl From<request::Parts> for Head {
    fn from(parts: request::Parts) -> Self {
        let request::Parts { method, uri, version, headers, .. } = parts;
        Self { method, target: uri, version, fields: headers.into() }
    }
}

/// The fields of a head or of trailers (RFC 9110 section 5): names with one value or several, each name's in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldMap(HeaderMap);

impl FieldMap {
    /// Without fields.
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Without fields, with room for as many.
    #[inline]
    pub fn with_capacity(fields: usize) -> Self {
        Self(HeaderMap::with_capacity(fields))
    }

    /// How many fields there are, each value counted.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first value of this name.
    #[inline]
    pub fn get(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.0.get(name)
    }

    /// All values of this name.
    #[inline]
    pub fn get_all(&self, name: impl AsHeaderName) -> impl DoubleEndedIterator<Item = &HeaderValue> {
        self.0.get_all(name).into_iter()
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains_key(&self, name: impl AsHeaderName) -> bool {
        self.0.contains_key(name)
    }

    /// Every name, once.
    #[inline]
    pub fn keys(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.keys()
    }

    /// Every field: one name's values stand together.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter()
    }

    /// Gives the name this value alone. The first that it had, if any.
    #[inline]
    pub fn insert(&mut self, name: impl IntoHeaderName, value: HeaderValue) -> Option<HeaderValue> {
        self.0.insert(name, value)
    }

    /// Gives the name one more value.
    #[inline]
    pub fn append(&mut self, name: impl IntoHeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    /// Takes all fields of this name away. The first value that it had, if any.
    #[inline]
    pub fn remove(&mut self, name: impl AsHeaderName) -> Option<HeaderValue> {
        self.0.remove(name)
    }

    /// Takes all fields away, and keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fields for somebody who wants them as the `http` crate keeps them.
    #[inline]
    pub fn into_map(self) -> HeaderMap {
        self.0
    }

    /// Changes fields that somebody keeps as the `http` crate does.
    #[inline]
    pub fn edit(map: &mut HeaderMap, edit: impl FnOnce(&mut Self)) {
        let mut fields = Self(std::mem::take(map));
        edit(&mut fields);
        *map = fields.0;
    }
}

impl From<HeaderMap> for FieldMap {
    #[inline]
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for FieldMap {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: I) -> Self {
        let mut map = Self::default();
        fields.into_iter().for_each(|(name, value)| map.append(name, value));
        map
    }
}

impl<'a> IntoIterator for &'a FieldMap {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = http::header::Iter<'a, HeaderValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// For tests: it panics where there is no such field.
#[cfg(test)]
impl<N: AsHeaderName> std::ops::Index<N> for FieldMap {
    type Output = HeaderValue;

    fn index(&self, name: N) -> &HeaderValue {
        &self.0[name]
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
        assert_eq!(fields.keys().count(), 2);
        assert_eq!(fields.get(HOST).unwrap(), "b.test");
        assert_eq!(fields.get_all(COOKIE).collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert!(!fields.contains_key(ACCEPT) && fields["host"] == "b.test");
        let mut map = fields.clone().into_map();
        FieldMap::edit(&mut map, |fields| drop(fields.remove(HOST)));
        assert_eq!((map.len(), FieldMap::from(map).len()), (2, 2));
        fields.clear();
        assert!(fields.is_empty());
    }
}
