//! Fields to and from the map that the `http` crate has, which h2, hyper and h3 speak.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::FieldMap;
use super::list::{SENSITIVE, VALUE_ADDED};

impl FieldMap {
    /// The fields for somebody who wants them as the `http` crate keeps them.
    pub fn into_map(self) -> HeaderMap {
        let fields = self.fields();
        let mut map = HeaderMap::with_capacity(fields.list.len());
        let added = Bytes::copy_from_slice(&fields.added);
        for field in &fields.list {
            let text = if field.flags & VALUE_ADDED == 0 { &fields.received } else { &added };
            let (start, count) = (field.value as usize, field.value_length as usize);
            // Values share what they lie in. What came or was added is one.
            let value = HeaderValue::from_maybe_shared(text.slice(start..start + count));
            let mut value = value.unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(field.flags & SENSITIVE != 0);
            map.append(fields.name_of(field).to_header_name(), value);
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
        Self::from(&map)
    }
}

impl From<&HeaderMap> for FieldMap {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self::new();
        map.iter().for_each(|(name, value)| fields.append(name, value));
        fields
    }
}
