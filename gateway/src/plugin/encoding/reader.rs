//! Who reads a body, and what it means to the exchange where that can't be.

use std::sync::Arc;

use plugin_rules::codings::{Bounds, Fault, Unreadable};

use crate::error::{Error, ErrorKind};
use crate::memory::Budget;
use crate::message::headers::Direction;
use crate::sanitize::{Configured, Safe, SafeText};

/// Who reads a body, for what is said where that can't be, and what it may become.
pub(in crate::plugin) struct Reader {
    pub(in crate::plugin) plugin: Box<str>,
    pub(in crate::plugin) direction: Direction,
    pub(in crate::plugin) bounds: Bounds,
    pub(in crate::plugin) memory: Arc<Budget>,
}

impl Reader {
    fn error(&self, kind: ErrorKind, why: &dyn Safe) -> Error {
        Error::new(kind, SafeText::of(&[&"plugin `", &Configured(&self.plugin), &"` reads the body: ", why]))
    }

    pub(super) fn fault(&self, fault: Fault) -> Error {
        self.error(kind_of(fault, self.direction), &fault)
    }

    pub(super) fn unreadable(&self, why: Unreadable) -> Error {
        let kind = match self.direction {
            Direction::Request => ErrorKind::UnsupportedEncoding,
            Direction::Response => ErrorKind::EncodedResponse,
        };
        self.error(kind, &why)
    }
}

/// What a fault of a message's content is to the exchange.
fn kind_of(fault: Fault, direction: Direction) -> ErrorKind {
    match (fault, direction) {
        (Fault::Malformed | Fault::Truncated | Fault::Trailing, Direction::Request) => ErrorKind::BadRequest,
        (Fault::TooLarge | Fault::Bomb, Direction::Request) => ErrorKind::BodyTooLarge,
        (Fault::Signed, Direction::Request) => ErrorKind::UnsupportedEncoding,
        (Fault::TooLarge | Fault::Bomb, Direction::Response) => ErrorKind::ResponseTooLarge,
        (_, Direction::Response) => ErrorKind::EncodedResponse,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use plugin_rules::failure::of_fault;

    use super::*;

    #[test]
    fn a_fault_is_the_sender_s() {
        for fault in [Fault::Malformed, Fault::Truncated, Fault::Trailing, Fault::TooLarge, Fault::Bomb, Fault::Signed]
        {
            let kind = |direction| kind_of(fault, direction);
            assert_eq!(kind(Direction::Request).status(), of_fault(fault), "{fault:?}");
            assert_eq!(kind(Direction::Response).status(), StatusCode::BAD_GATEWAY, "{fault:?}");
        }
    }
}
