//! `audit.note`: what a plugin may tell the audit trail.

mod notes;

pub use notes::{Note, Notes};

use crate::fields::FieldError;
use crate::phase::Phase;

/// Different notes of one plugin in one exchange.
pub const MAX_NOTES: usize = 128;
/// Bytes of a category.
const MAX_CATEGORY: usize = 64;

/// Makes an enum of words, which are all that there are.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$about])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it, in the contract and in the trail.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// Where personal data was seen.
    Place {
        /// The request's body.
        RequestBody "request.body",
        /// A header field of the request, or a trailer.
        RequestHeader "request.header",
        /// The request's path.
        RequestPath "request.path",
        /// The request's query.
        RequestQuery "request.query",
        /// The response's body.
        ResponseBody "response.body",
        /// A header field of the response, or a trailer.
        ResponseHeader "response.header",
    }
}

words! {
    /// What was done with it.
    Action {
        /// It was seen; what became of it the plugin doesn't say.
        Found "found",
        /// It was removed, or made unreadable: the value can't be had back.
        Masked "masked",
        /// The message that held it was refused.
        Blocked "blocked",
        /// Something stands for it by which equal values stay equal, or by which it can be had back.
        Pseudonymised "pseudonymised",
        /// It went on as it was.
        Passed "passed",
    }
}

/// Checks the words of a note.
///
/// # Errors
/// `TooLate` in the log phase: the trail's record is written before the client's last byte, and that phase comes after it.
/// `InvalidName` for a category that is no short word, `InvalidValue` for an unknown place or action.
pub fn check(phase: Phase, category: &str, place: &str, action: &str) -> Result<(Place, Action), FieldError> {
    if phase == Phase::Log {
        return Err(FieldError::TooLate);
    }
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if category.is_empty() || category.len() > MAX_CATEGORY || !category.bytes().all(inner) {
        return Err(FieldError::InvalidName);
    }
    let place = Place::ALL.iter().find(|known| known.name() == place);
    let action = Action::ALL.iter().find(|known| known.name() == action);
    place.zip(action).map(|(place, action)| (*place, *action)).ok_or(FieldError::InvalidValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_actions_are_known_by_their_words() {
        for place in Place::ALL {
            for action in Action::ALL {
                let found = check(Phase::RequestBody, "card", place.name(), action.name());
                assert_eq!(found, Ok((*place, *action)));
            }
        }
        for (place, action) in [("", "found"), ("body", "found"), ("response.path", "found"), ("request.body", "Found")]
        {
            assert_eq!(check(Phase::RequestBody, "card", place, action), Err(FieldError::InvalidValue));
        }
    }

    #[test]
    fn a_category_is_a_short_word_and_no_value() {
        let check = |category: &str| check(Phase::RequestHeaders, category, "request.body", "found").err();
        for category in ["card", "medical-id", "A.b_c-1", "2fa", &"c".repeat(MAX_CATEGORY)] {
            assert_eq!(check(category), None, "{category}");
        }
        for category in ["", "kari@example.no", "98 76", "a\n", "å", &"c".repeat(MAX_CATEGORY + 1)] {
            assert_eq!(check(category), Some(FieldError::InvalidName), "{category}");
        }
    }

    #[test]
    fn after_the_last_byte_it_is_too_late() {
        assert_eq!(check(Phase::Log, "card", "request.body", "found"), Err(FieldError::TooLate));
    }
}
