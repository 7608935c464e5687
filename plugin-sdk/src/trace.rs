//! The exchange's place in a distributed trace, and what the plugin adds to it: attributes, and spans of its own.
//!
//! ```
//! use plugin_sdk::prelude::*;
//! use plugin_sdk::testing::*;
//!
//! struct Lookup;
//! #[plugin]
//! impl Plugin for Lookup {
//!     type Config = serde::de::IgnoredAny;
//!     fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
//!         Ok(Self)
//!     }
//!     fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
//!         // Ends where it is dropped; calls to upstreams that are made meanwhile are shown below it.
//!         let span = exchange.begin_span("lookup");
//!         if let Ok(span) = &span {
//!             span.set_attribute("source", "cache").ok();
//!         }
//!         exchange.set_trace_attribute("found", true).ok();
//!         RequestAction::next()
//!     }
//! }
//!
//! let host = TestHost::new();
//! let lookup = host.configure::<Lookup>(json!({})).unwrap();
//! let run = host.run(&lookup, TestRequest::get("/").traced());
//! assert_eq!(run.trace_attribute("found"), Some(true.into()));
//! assert_eq!(run.spans()[0].name, "lookup");
//! assert_eq!(run.spans()[0].attribute("source"), Some("cache".into()));
//! ```
//!
//! What is added is told beside what the gateway tells, as `plugin.PLUGIN.NAME`, so nothing of the gateway's is written over.
//! It goes to whoever collects the traces: never add what came from a client. Where nothing of an exchange is recorded, all of
//! it is taken and forgotten, and no call is made to the host; whoever has to work for it may ask [`Exchange::is_recorded`] first.

use crate::bindings::edge::gateway::trace as wit;
use crate::{Exchange, FieldError, raw};

/// The value of an attribute: a text of at most 256 bytes, a number, or a truth.
pub use wit::Value;

/// Where in which trace an exchange stands, in the terms of W3C Trace Context.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext(wit::Context);

impl TraceContext {
    /// A context, for tests.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn of(context: wit::Context) -> Self {
        Self(context)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn context(self) -> wit::Context {
        self.0
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:016x}{:016x}", self.0.trace_high, self.0.trace_low)
    }

    /// The id of the exchange's own span: 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.0.span)
    }

    /// Whether all who take part are to record it, as far as is known by now.
    pub const fn is_sampled(&self) -> bool {
        self.0.trace_flags & 1 == 1
    }

    /// Whether what is added is kept, at least until the exchange ends: what comes of it then may decide.
    pub const fn is_recorded(&self) -> bool {
        self.0.recorded
    }

    /// The field `traceparent` that says all this (W3C Trace Context section 3.2).
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id(), self.span_id(), self.0.trace_flags)
    }
}

/// A span of the plugin's own. It ends when it is dropped, at the latest with the call that has begun it.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Span<'a> {
    of: raw::Handle<'a>,
    /// None where nothing is recorded.
    number: Option<u32>,
}

impl Span<'_> {
    /// Adds an attribute, or replaces the one of this name. Where nothing is recorded, this costs nothing.
    ///
    /// # Errors
    /// As [`Exchange::set_trace_attribute`].
    pub fn set_attribute(&self, name: &str, value: impl Into<Value>) -> Result<(), FieldError> {
        match self.number {
            Some(number) => raw::trace::set_attribute(self.of, Some(number), name, &value.into()),
            None => Ok(()),
        }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            raw::trace::end_span(self.of, number);
        }
    }
}

impl<'a> Exchange<'a> {
    /// Its place in a trace; none where the gateway keeps no traces.
    pub fn trace(&self) -> Option<TraceContext> {
        raw::trace::current(self.of).map(TraceContext)
    }

    /// Whether what is added to its trace is kept, at least until the exchange ends. It costs nothing to ask.
    pub fn is_recorded(&self) -> bool {
        raw::trace::is_recorded(self.of)
    }

    /// Adds an attribute to the exchange's span, or replaces the plugin's own of this name.
    ///
    /// # Errors
    /// [`FieldError::InvalidName`] for what is no name (`a.b_c`: lower-case letters, digits, dots and underscores, at most
    /// 64 bytes), [`FieldError::TooLarge`] for a text of more than 256 bytes and for more than 32 attributes, those of spans among
    /// them, [`FieldError::InvalidValue`] for what is no number. Nothing is an error where nothing is recorded. What can't be
    /// added is missing in the trace and changes nothing else: mostly, `.ok()` is right.
    pub fn set_trace_attribute(&self, name: &str, value: impl Into<Value>) -> Result<(), FieldError> {
        if !self.is_recorded() {
            return Ok(());
        }
        raw::trace::set_attribute(self.of, None, name, &value.into())
    }

    /// Begins a span: below the plugin's span that is open, otherwise below what stands for this call. Keep it in a variable:
    /// it ends where it is dropped.
    ///
    /// # Errors
    /// [`FieldError::InvalidName`] as for attributes, [`FieldError::TooLarge`] for more than 32 spans.
    pub fn begin_span(&self, name: &str) -> Result<Span<'a>, FieldError> {
        let number = if self.is_recorded() { raw::trace::begin_span(self.of, name)? } else { None };
        Ok(Span { of: self.of, number })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Real(one), Self::Real(other)) => one == other,
            (Self::Truth(one), Self::Truth(other)) => one == other,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_written_as_w3c_has_it() {
        let context = |trace_flags| {
            TraceContext(wit::Context {
                trace_high: 0x0af7_6519_16cd_43dd,
                trace_low: 0x8448_eb21_1c80_319c,
                span: 0x00f0_67aa_0ba9_02b7,
                trace_flags,
                recorded: false,
            })
        };
        assert_eq!(context(1).traceparent(), "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
        assert!(context(1).is_sampled() && context(3).is_sampled() && !context(2).is_sampled());
        assert!(!context(1).is_recorded());
    }
}
