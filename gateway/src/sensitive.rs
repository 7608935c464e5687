//! What came from a client, an upstream or a secret, in a type that nothing can be printed of.
//!
//! [`Sensitive`] has no `Display`, no `Deref` and no `Serialize`, and its `Debug` says nothing of what it holds: so whoever
//! formats a head, an exchange or a connection, whatever for, writes no personal data. The work needs the content; it asks for
//! it by [`Sensitive::expose`], which can be looked for. What is exposed goes into messages, look-ups and comparisons, never
//! into a text that leaves by a log, a metric, a status or an answer of the gateway's own: those are made by
//! [`crate::sanitize`], and `xtask/tests/tidy` looks for who does otherwise.
//!
//! The values of fields have a type of their own ([`crate::message::FieldValue`]), which behaves the same.

#[cfg(doctest)]
mod kinds;

use std::fmt;
use std::ops::Deref;

/// What stands in the place of what is not shown.
pub const NOT_SHOWN: &str = "(not shown)";

/// A value whose content no output shows.
///
/// It can be formatted as long as nothing of the content is asked for:
///
/// ```
/// let path = gateway::sensitive::Sensitive::new("/kari");
/// assert_eq!(format!("{path:?}"), "(not shown)");
/// ```
///
/// Its content can't:
///
/// ```compile_fail
/// let path = gateway::sensitive::Sensitive::new("/kari");
/// assert_eq!(format!("{path}"), "(not shown)");
/// ```
///
/// Nor does it become a text by the way:
///
/// ```compile_fail
/// let path = gateway::sensitive::Sensitive::new("/kari".to_owned());
/// let text: &str = &path;
/// ```
///
/// ```
/// let path = gateway::sensitive::Sensitive::new("/kari".to_owned());
/// let text: &str = path.expose();
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// A value that is not to be shown.
    #[inline]
    pub const fn new(content: T) -> Self {
        Self(content)
    }

    /// Its content, for work: not for anything that a person reads.
    #[inline]
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Its content, to be changed.
    #[inline]
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The content alone.
    #[inline]
    pub fn into_exposed(self) -> T {
        self.0
    }

    /// A part of it, or what follows from it, as little to be shown as it is.
    #[inline]
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Sensitive<U> {
        Sensitive(part(self.0))
    }

    /// It, borrowed.
    #[inline]
    pub const fn as_ref(&self) -> Sensitive<&T> {
        Sensitive(&self.0)
    }

    /// What it leads to, borrowed.
    #[inline]
    pub fn as_deref(&self) -> Sensitive<&T::Target>
    where
        T: Deref,
    {
        Sensitive(&self.0)
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_SHOWN)
    }
}

impl<T> From<T> for Sensitive<T> {
    #[inline]
    fn from(content: T) -> Self {
        Self(content)
    }
}

/// Comparing tells nothing to an output.
impl<T: PartialEq> PartialEq<T> for Sensitive<T> {
    #[inline]
    fn eq(&self, other: &T) -> bool {
        self.0 == *other
    }
}

/// Gives types that hold bytes of a peer a `Debug` that says their name and nothing else.
macro_rules! no_content {
    ($($type:ty),+ $(,)?) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        })+
    };
}
pub(crate) use no_content;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Holder {
        name: Sensitive<String>,
        parts: Vec<Sensitive<Vec<u8>>>,
    }

    proptest! {
        /// Nothing of the text tells one content from another, not even its length.
        #[test]
        fn no_formatting_tells_contents_apart(one: String, other: String) {
            let text = |content: &String| {
                let (name, part) = (Sensitive::new(content.clone()), Sensitive::new(content.clone().into_bytes()));
                let holder = Holder { name, parts: vec![part] };
                assert_eq!(holder.name.expose().as_bytes(), holder.parts[0].expose().as_slice());
                format!("{holder:?} {holder:#?} {:?} {:>9?}", holder.name.as_deref(), Some(&holder.name))
            };
            prop_assert_eq!(text(&one), text(&other));
        }
    }

    #[test]
    fn contents_are_compared_and_taken_apart_without_being_shown() {
        let text = Sensitive::new("a.test:80".to_owned());
        assert!(text == "a.test:80".to_owned() && text.as_deref() == "a.test:80");
        assert_eq!(text.as_deref().map(str::len), 9);
        assert_eq!(text.into_exposed(), "a.test:80");
    }
}
