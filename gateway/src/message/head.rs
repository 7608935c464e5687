//! The head of a request as a protocol hands it over, and its fields.
//!
//! How fields are kept is known to this file alone, so that a codec may keep them as it read them: whoever needs a
//! [`HeaderMap`] says so, and pays for it then.

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
    pub fields: Fields,
}

impl From<request::Parts> for Head {
    fn from(parts: request::Parts) -> Self {
        let request::Parts { method, uri, version, headers, .. } = parts;
        Self { method, target: uri, version, fields: headers.into() }
    }
}

/// The fields of a head, in the order of their first names.
#[derive(Debug, Default)]
pub struct Fields(HeaderMap);

impl Fields {
    /// How many there are, each value counted.
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
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.0.get(name)
    }

    /// All values of this name.
    #[inline]
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.0.get_all(name).iter()
    }

    /// Every field.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter()
    }

    /// Gives the name this value alone.
    #[inline]
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.insert(name, value);
    }

    /// Gives the name one more value.
    #[inline]
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    /// Takes all fields of this name away.
    #[inline]
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.remove(name);
    }

    /// The fields as a map to look at.
    #[inline]
    pub fn as_map(&self) -> &HeaderMap {
        &self.0
    }

    /// The fields as a map to keep.
    #[inline]
    pub fn into_map(self) -> HeaderMap {
        self.0
    }
}

impl From<HeaderMap> for Fields {
    #[inline]
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, COOKIE, HOST};

    use super::*;

    #[test]
    fn fields_are_edited_by_name_and_become_a_map() {
        let mut fields = Fields::default();
        fields.append(COOKIE, HeaderValue::from_static("a=1"));
        fields.append(COOKIE, HeaderValue::from_static("b=2"));
        fields.set(HOST, HeaderValue::from_static("a.test"));
        fields.set(HOST, HeaderValue::from_static("b.test"));
        fields.set(ACCEPT, HeaderValue::from_static("*/*"));
        fields.remove(&ACCEPT);
        assert_eq!((fields.len(), fields.is_empty(), fields.iter().count()), (3, false, 3));
        assert_eq!(fields.get(&HOST).unwrap(), "b.test");
        assert_eq!(fields.get_all(&COOKIE).collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(fields.as_map().len(), 3);
        assert!(!fields.into_map().contains_key(ACCEPT));
    }
}
