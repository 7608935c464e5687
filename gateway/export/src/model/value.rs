//! Attributes.

use super::Text;

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Str(Text),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// Texts in order, such as the values of a header field.
    StrList(Vec<Text>),
}

impl Value {
    /// The bytes on the heap that this value alone holds.
    fn heap(&self) -> usize {
        match self {
            Self::Str(text) => text.heap(),
            Self::Int(_) | Self::Double(_) | Self::Bool(_) => 0,
            Self::StrList(texts) => size_of::<Text>() * texts.capacity() + texts.iter().map(Text::heap).sum::<usize>(),
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Str(text)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<std::sync::Arc<str>> for Value {
    fn from(text: std::sync::Arc<str>) -> Self {
        Self::Str(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<Vec<Text>> for Value {
    fn from(texts: Vec<Text>) -> Self {
        Self::StrList(texts)
    }
}

/// An attribute. A key may be there once in a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue {
    /// Its name, such as `http.request.method`.
    pub key: Text,
    /// What it says.
    pub value: Value,
}

impl KeyValue {
    /// An attribute.
    pub fn new(key: impl Into<Text>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// The bytes on the heap that a list of attributes holds.
pub(super) fn heap_of(attributes: &Vec<KeyValue>) -> usize {
    size_of::<KeyValue>() * attributes.capacity()
        + attributes.iter().map(|attribute| attribute.key.heap() + attribute.value.heap()).sum::<usize>()
}
