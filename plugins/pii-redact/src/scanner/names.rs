//! Names of JSON members, and what they say of other values: the name of a container, of a column, of a sibling's kind.

use serde::{Deserialize, Serialize};

use crate::decode;
use crate::detect::announce::{self, Said};

/// Raw bytes of a name that are looked at: those at its end, which is what it is about. One more tells that it is longer.
pub(super) const LONGEST: usize = 97;

/// Names that say only that a value comes, so that its container or a sibling says which.
const GENERIC: [&str; 76] = [
    "value",
    "values",
    "val",
    "number",
    "numbers",
    "nummer",
    "numre",
    "nr",
    "no",
    "num",
    "verdi",
    "verdier",
    "värde",
    "værdi",
    "wert",
    "arvo",
    "numero",
    "text",
    "content",
    "raw",
    "formatted",
    "e164",
    "e_164",
    "international",
    "national",
    "display",
    "displayvalue",
    "full",
    "main",
    "primary",
    "secondary",
    "default",
    "work",
    "home",
    "private",
    "privat",
    "jobb",
    "arbeid",
    "hjem",
    "hjemme",
    "data",
    "item",
    "items",
    "entry",
    "entries",
    "list",
    "liste",
    "current",
    "original",
    "plain",
    "string",
    "digits",
    "subscriber",
    "local",
    "$",
    "_",
    "#text",
    "@value",
    "$t",
    "_text",
    "input",
    "answer",
    "s",
    "n",
    "stringvalue",
    "intvalue",
    "integervalue",
    "nationalnumber",
    "internationalnumber",
    "$numberlong",
    "$numberint",
    "canonical",
    "e164number",
    "unformatted",
    "answervalue",
    "valuestring",
];

/// Names of members that say what a sibling holds: `{"type": "mobile", "number": …}`, FHIR's `system`, pairs of name and value.
const KINDS: [&str; 35] = [
    "type",
    "kind",
    "name",
    "key",
    "label",
    "system",
    "field",
    "use",
    "title",
    "property",
    "attribute",
    "column",
    "parameter",
    "param",
    "category",
    "code",
    "id",
    "navn",
    "typ",
    "slag",
    "art",
    "tyyppi",
    "nimi",
    "namn",
    "felt",
    "fält",
    "@type",
    "@name",
    "path",
    "question",
    "field_name",
    "fieldname",
    "attributename",
    "propertyname",
    "linkid",
];

/// The lengths of [`KINDS`] by their first letters.
const KIND_LENGTHS: [u32; 32] = {
    let mut lengths = [0; 32];
    let mut index = 0;
    while index < KINDS.len() {
        let name = KINDS[index].as_bytes();
        lengths[(name[0] & 0x1F) as usize] |= 1 << name.len();
        index += 1;
    }
    lengths
};

/// Names of arrays that hold the names of columns.
const HEADERS: [&str; 12] = [
    "columns",
    "cols",
    "column_names",
    "columnnames",
    "header",
    "headers",
    "fields",
    "kolonner",
    "kolumner",
    "spalten",
    "sarakkeet",
    "names",
];

/// A piece of the raw bytes: where it stands in those at hand, or a copy once they are gone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Name {
    #[serde(skip)]
    span: Option<(usize, usize)>,
    kept: Vec<u8>,
}

impl Name {
    /// Forgets it.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.span = Some((0, 0));
    }

    /// Sets it to what stands at these places.
    #[inline]
    pub(super) fn set(&mut self, from: usize, to: usize) {
        self.span = Some((from, to));
    }

    /// Becomes what the other is, whose copy is forgotten.
    #[inline]
    pub(super) fn take(&mut self, other: &mut Self) {
        match other.span {
            Some(_) => self.span = other.span,
            None => std::mem::swap(self, other),
        }
    }

    /// Sets it to a copy.
    pub(super) fn keep(&mut self, name: &[u8]) {
        self.kept.clear();
        self.kept.extend_from_slice(&name[name.len().saturating_sub(LONGEST)..]);
        self.span = None;
    }

    /// Where it stands in the bytes at hand.
    pub(super) fn span(&self) -> Option<(usize, usize)> {
        self.span
    }

    /// The end of it, up to [`LONGEST`] bytes.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        match self.span {
            Some((from, to)) => &raw[from.max(to.saturating_sub(LONGEST))..to],
            None => &self.kept,
        }
    }

    /// Keeps a copy: the raw bytes at hand go.
    pub(super) fn settle(&mut self, raw: &[u8]) {
        if let Some((from, to)) = self.span {
            self.keep(&raw[from..to]);
        }
    }
}

/// What a raw name says.
pub(super) fn said(name: &[u8]) -> Said {
    with_decoded(name, announce::by_key)
}

/// Whether a raw name leaves it to others to say what the value is.
pub(super) fn is_generic(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_digit) || is_among(name, &GENERIC)
}

/// Whether a member of this name says what its siblings hold.
#[inline]
pub(super) fn is_kind(name: &[u8]) -> bool {
    // Most names aren't, and this is asked of all.
    let lengths = name.first().map_or(0, |first| KIND_LENGTHS[usize::from(first & 0x1F)]);
    lengths >> name.len().min(31) & 1 == 1 && is_among(name, &KINDS)
}

/// Whether an array of this name names columns.
pub(super) fn is_header(name: &[u8]) -> bool {
    matches!(name.len(), 4..=12) && is_among(name, &HEADERS)
}

fn is_among(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name))
}

/// Shows a raw name without its escapes.
pub(super) fn with_decoded<T>(name: &[u8], see: impl FnOnce(&[u8]) -> T) -> T {
    if name.contains(&b'\\') { see(&decode::unescaped(name)) } else { see(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_what_they_are_for() {
        assert!(is_generic(b"Value") && is_generic(b"12") && is_generic(b"") && !is_generic(b"created"));
        assert!(is_kind(b"type") && is_kind("fält".as_bytes()) && !is_kind(b"value"));
        assert!(is_header(b"columns") && !is_header(b"rows"));
    }

    #[test]
    fn a_name_is_the_same_before_and_after_its_bytes_are_gone() {
        let raw = [&[b'x'; 200][..], b"phone"].concat();
        let mut name = Name::default();
        name.set(3, raw.len());
        let before = name.bytes(&raw).to_vec();
        name.settle(&raw);
        assert_eq!(name.bytes(b""), before);
        assert_eq!(before.len(), LONGEST);
    }
}
