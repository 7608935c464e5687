//! Text that may leave the gateway: details of errors, messages, statuses.
//!
//! A [`SafeText`] is put together of what the program itself says (texts that stand in the code), of what the configuration
//! names, of numbers, and of what this folder has made of errors that libraries have (`libraries.rs`). A value of a client or an
//! upstream is none of these, so it does not get in.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Text that may leave the gateway.
///
/// ```
/// let text = gateway::sanitize::SafeText::from("the target is too long");
/// assert_eq!(text.as_str(), "the target is too long");
/// ```
///
/// No text that was made while the gateway ran becomes one:
///
/// ```compile_fail
/// let text = gateway::sanitize::SafeText::from("the target is too long".to_owned());
/// assert_eq!(text.as_str(), "the target is too long");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SafeText(Cow<'static, str>);

impl SafeText {
    /// A text that stands in the code.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// These, one after the other. See [`safe!`](macro@crate::sanitize::safe).
    pub fn of(parts: &[&dyn Safe]) -> Self {
        let mut text = String::new();
        for part in parts {
            // Writing to a String does not fail.
            let _ = part.write(&mut text);
        }
        Self(Cow::Owned(text))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for SafeText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for SafeText {
    fn from(text: &'static str) -> Self {
        Self::fixed(text)
    }
}

impl serde::Serialize for SafeText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What may be a part of a text that leaves the gateway.
pub trait Safe {
    /// Writes it.
    ///
    /// # Errors
    /// Those of the writer.
    fn write(&self, out: &mut dyn Write) -> fmt::Result;
}

/// Puts a [`SafeText`] together: `safe!("connecting to ", address, ": ", error)`.
macro_rules! safe {
    ($($part:expr),+ $(,)?) => { $crate::sanitize::SafeText::of(&[$(&$part as &dyn $crate::sanitize::Safe),+]) };
}
pub(crate) use safe;

/// What stands in the code.
impl Safe for &'static str {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self)
    }
}

impl Safe for SafeText {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A name of the configuration: of a listener, a route, an upstream, a plugin. Those are `Arc<str>`; no value of a client is.
impl Safe for Arc<str> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self)
    }
}

/// A text of the configuration, where it is borrowed from there. Of nothing else.
#[derive(Clone, Copy)]
pub struct Configured<'a>(pub &'a str);

impl Safe for Configured<'_> {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// `Safe` for types whose own text holds nothing of a peer.
macro_rules! as_displayed {
    ($($type:ty),+ $(,)?) => {
        $(impl $crate::sanitize::Safe for $type {
            fn write(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                write!(out, "{self}")
            }
        })+
    };
}
pub(crate) use as_displayed;

// An address is one of an endpoint or a listener: those of clients are `Sensitive`.
as_displayed!(u8, u16, u32, u64, usize, SocketAddr);

// Their texts stand in the code.
as_displayed!(plugin_rules::codings::Fault, plugin_rules::codings::Unreadable);

/// As HTTP writes dates (RFC 9110 section 5.6.7).
impl Safe for SystemTime {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        out.write_str(&httpdate::fmt_http_date(*self))
    }
}

/// As `2s` or `1.5ms`.
impl Safe for Duration {
    fn write(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_put_together_of_what_may_leave() {
        let (upstream, address): (Arc<str>, SocketAddr) = ("api".into(), ([192, 0, 2, 1], 80).into());
        let text = safe!("upstream ", upstream, " at ", address, " after ", Duration::from_millis(1500), ", ", 2_u32);
        assert_eq!(text.as_str(), "upstream api at 192.0.2.1:80 after 1.5s, 2");
        assert_eq!(safe!(text, Configured("!")).to_string(), "upstream api at 192.0.2.1:80 after 1.5s, 2!");
    }
}
