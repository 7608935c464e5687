//! On wasm32: the generated imports.

use std::marker::PhantomData;

pub(crate) use crate::bindings::edge::gateway::{calls, counters, crypto, kv, metrics, secrets, sys};

/// An exchange of the host, for as long as the call runs that it was given to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle<'a> {
    number: u32,
    call: PhantomData<&'a ()>,
}

impl<'a> Handle<'a> {
    /// What the host has given to the call that runs.
    pub(crate) const fn new(number: &'a u32) -> Self {
        Self { number: *number, call: PhantomData }
    }
}

pub(crate) mod exchange {
    use super::Handle;
    use crate::Failure;
    use crate::bindings::edge::gateway::http::{self, FieldError, Part};
    use crate::bindings::edge::gateway::types::Header;

    macro_rules! forward {
        ($($name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {
            $(#[inline] pub(crate) fn $name(of: Handle<'_> $(, $arg: $ty)*) $(-> $out)? { http::$name(of.number $(, $arg)*) })*
        };
    }

    forward! {
        get(part: Part, name: &str) -> Option<Vec<u8>>;
        get_all(part: Part, name: Option<&str>) -> Vec<Header>;
        set(part: Part, name: &str, value: &[u8]) -> Result<(), FieldError>;
        append(part: Part, name: &str, value: &[u8]) -> Result<(), FieldError>;
        remove(part: Part, name: &str) -> Result<(), FieldError>;
        method() -> String;
        scheme() -> String;
        authority() -> String;
        path() -> String;
        property(name: &str) -> Option<String>;
        measure(name: &str) -> Option<u64>;
        upstream_failure() -> Option<Failure>;
        set_target(method: Option<&str>, authority: Option<&str>, path: Option<&str>) -> Result<(), FieldError>;
        set_upstream(name: &str) -> Result<(), String>;
        set_status(code: u16) -> Result<(), FieldError>;
        state() -> Vec<u8>;
        set_state(value: &[u8]);
        take_stream_state() -> Option<Vec<u8>>;
        set_stream_state(value: &[u8]);
        put_attribute(name: &str, value: &str) -> Result<(), FieldError>;
        store_response(key: &str, ttl_ms: u64);
        log_fields() -> Vec<(String, String)>;
        set_log_field(name: &str, value: Option<&str>);
    }
}

pub(crate) mod trace {
    use super::Handle;
    use crate::FieldError;
    use crate::bindings::edge::gateway::trace::{self, Context, Value};

    /// The contract has it in the handle.
    #[inline]
    pub(crate) fn is_recorded(of: Handle<'_>) -> bool {
        of.number & 1 == 1
    }

    #[inline]
    pub(crate) fn current(of: Handle<'_>) -> Option<Context> {
        trace::current(of.number)
    }

    #[inline]
    pub(crate) fn set_attribute(of: Handle<'_>, to: Option<u32>, name: &str, value: &Value) -> Result<(), FieldError> {
        trace::set_attribute(of.number, to, name, value)
    }

    #[inline]
    pub(crate) fn begin_span(of: Handle<'_>, name: &str) -> Result<Option<u32>, FieldError> {
        trace::begin_span(of.number, name)
    }

    #[inline]
    pub(crate) fn end_span(of: Handle<'_>, span: u32) {
        trace::end_span(of.number, span);
    }
}

pub(crate) mod audit {
    use super::Handle;
    use crate::FieldError;
    use crate::bindings::edge::gateway::audit;

    #[inline]
    pub(crate) fn note(
        of: Handle<'_>,
        category: &str,
        place: &str,
        action: &str,
        count: u32,
    ) -> Result<(), FieldError> {
        audit::note(of.number, category, place, action, count)
    }
}
