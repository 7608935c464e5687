//! What the audit trail is told of an exchange: which kind of personal data was seen where, and what was done with it.
//!
//! ```
//! use plugin_sdk::audit::{Action, Place};
//! use plugin_sdk::prelude::*;
//! use plugin_sdk::testing::*;
//!
//! struct Upper;
//! #[plugin]
//! impl Plugin for Upper {
//!     type Config = serde::de::IgnoredAny;
//!     fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
//!         Ok(Self)
//!     }
//!     fn on_request_headers(&self, exchange: &Exchange, _end: bool) -> RequestAction {
//!         if exchange.request().remove_header("x-birth-date").is_ok() {
//!             exchange.note_audit("birth-date", Place::RequestHeader, Action::Masked, 1).ok();
//!         }
//!         RequestAction::next()
//!     }
//! }
//!
//! let host = TestHost::new();
//! let plugin = host.configure::<Upper>(json!({})).unwrap();
//! let run = host.run(&plugin, TestRequest::get("/").header("x-birth-date", "1999-12-31"));
//! assert_eq!(run.audited("birth-date", Place::RequestHeader, Action::Masked), 1);
//! ```
//!
//! Tell it when it happens, piece by piece of a body: an exchange may break off, and what had been seen by then was seen. Equal
//! notes are added up. Never tell a value.

use crate::{Exchange, FieldError, raw};

/// Where personal data was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The request's body.
    RequestBody,
    /// A header field of the request, or a trailer.
    RequestHeader,
    /// The request's path.
    RequestPath,
    /// The request's query.
    RequestQuery,
    /// The response's body.
    ResponseBody,
    /// A header field of the response, or a trailer.
    ResponseHeader,
}

/// What was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was seen; what became of it the plugin doesn't say.
    Found,
    /// It was removed, or made unreadable: the value can't be had back.
    Masked,
    /// The message that held it was refused.
    Blocked,
    /// Something stands for it by which equal values stay equal, or by which it can be had back.
    Pseudonymised,
    /// It went on as it was.
    Passed,
}

impl Place {
    /// The contract's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestBody => "request.body",
            Self::RequestHeader => "request.header",
            Self::RequestPath => "request.path",
            Self::RequestQuery => "request.query",
            Self::ResponseBody => "response.body",
            Self::ResponseHeader => "response.header",
        }
    }
}

impl Action {
    /// The contract's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Masked => "masked",
            Self::Blocked => "blocked",
            Self::Pseudonymised => "pseudonymised",
            Self::Passed => "passed",
        }
    }
}

impl Exchange<'_> {
    /// Tells the audit trail that personal data of this category was seen so many times, and what was done with it.
    ///
    /// # Errors
    /// [`FieldError::InvalidName`] for a category that is not 1 to 64 letters, digits, `_`, `-` and `.`;
    /// [`FieldError::TooLarge`] for more than 128 different notes, of which the trail tells that some are missing;
    /// [`FieldError::TooLate`] in the log phase, before which its record is written. [`FieldError::InvalidValue`] from a
    /// gateway that is older than the word.
    pub fn note_audit(&self, category: &str, place: Place, action: Action, count: u32) -> Result<(), FieldError> {
        raw::audit::note(self.of, category, place.name(), action.name(), count)
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use plugin_rules::audit;

    use super::*;

    #[test]
    fn the_words_are_those_of_the_rules() {
        use Action::{Blocked, Found, Masked, Passed, Pseudonymised};
        use Place::{RequestBody, RequestHeader, RequestPath, RequestQuery, ResponseBody, ResponseHeader};
        let places = [RequestBody, RequestHeader, RequestPath, RequestQuery, ResponseBody, ResponseHeader];
        let ruled: Vec<_> = audit::Place::ALL.iter().map(|place| place.name()).collect();
        assert_eq!(places.map(Place::name).as_slice(), ruled);
        let ruled: Vec<_> = audit::Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!([Found, Masked, Blocked, Pseudonymised, Passed].map(Action::name).as_slice(), ruled);
    }
}
