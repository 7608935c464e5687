//! Responses before the response: 1xx (RFC 9110 section 15.2), on their way from an upstream to the client.

use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use crate::message::FieldMap;

/// Writes the heads of interim responses to whoever waits for the response.
pub trait WriteInterim {
    /// Writes one. `false`: the response has begun, or the other side is gone.
    fn write(&self, status: StatusCode, fields: FieldMap) -> bool;
}

/// Where interim responses go. A protocol that can't send them, and a client that knows none (HTTP/1.0), have a way that
/// leads nowhere, so that whoever has one need not ask. (100 is not among them: that is each connection's own business.)
#[derive(Clone, Default)]
pub struct Interim(Option<Rc<dyn WriteInterim>>);

impl Interim {
    /// A way to this writer.
    pub fn to(writer: Rc<dyn WriteInterim>) -> Self {
        Self(Some(writer))
    }

    /// Whether anything sent here can arrive.
    pub const fn is_supported(&self) -> bool {
        self.0.is_some()
    }

    /// Passes one on. `false` where it leads nowhere, or no longer anywhere.
    pub fn send(&self, status: StatusCode, fields: FieldMap) -> bool {
        self.0.as_ref().is_some_and(|writer| writer.write(status, fields))
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interim").field(&self.is_supported()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_leads_nowhere_takes_nothing() {
        #[derive(Default)]
        struct Written(RefCell<Vec<StatusCode>>);
        impl WriteInterim for Written {
            fn write(&self, status: StatusCode, _: FieldMap) -> bool {
                self.0.borrow_mut().push(status);
                true
            }
        }
        assert!(!Interim::default().send(StatusCode::EARLY_HINTS, FieldMap::new()));
        let written = Rc::new(Written::default());
        assert!(Interim::to(written.clone()).send(StatusCode::EARLY_HINTS, FieldMap::new()));
        assert_eq!(*written.0.borrow(), [StatusCode::EARLY_HINTS]);
    }
}
