//! Responses before the response: 1xx (RFC 9110 section 15.2), on their way from an upstream to the client.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use http::StatusCode;
use tokio::sync::Notify;

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

/// Bytes of interim responses that may wait for a client, or go to one before its response.
const MOST: usize = 64 << 10;

/// Interim responses that wait for whoever sends the response, where the protocol can't write them at once.
#[derive(Debug, Default)]
pub struct InterimQueue {
    waiting: RefCell<VecDeque<(StatusCode, FieldMap)>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    added: Notify,
}

impl InterimQueue {
    /// The next one, in time.
    pub async fn next(&self) -> (StatusCode, FieldMap) {
        loop {
            if let Some(one) = self.take() {
                return one;
            }
            self.added.notified().await;
        }
    }

    /// The next one, if it is there.
    pub fn take(&self) -> Option<(StatusCode, FieldMap)> {
        self.waiting.borrow_mut().pop_front()
    }

    /// The response begins: nothing goes before it any more.
    pub fn close(&self) {
        self.closed.set(true);
    }
}

impl WriteInterim for InterimQueue {
    fn write(&self, status: StatusCode, fields: FieldMap) -> bool {
        let size = fields.bytes() + FIELD;
        if self.closed.get() || self.bytes.get() + size > MOST {
            return false;
        }
        self.bytes.set(self.bytes.get() + size);
        self.waiting.borrow_mut().push_back((status, fields));
        self.added.notify_one();
        true
    }
}

/// What a head counts for beside its fields.
const FIELD: usize = 32;

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

    #[tokio::test]
    async fn what_waits_is_bounded_and_goes_before_the_response() {
        let queue = InterimQueue::default();
        assert!(queue.write(StatusCode::EARLY_HINTS, FieldMap::new()));
        assert_eq!(queue.next().await.0, StatusCode::EARLY_HINTS);
        let sent = (0..10_000).take_while(|_| queue.write(StatusCode::PROCESSING, FieldMap::new())).count();
        assert_eq!(sent, MOST / FIELD - 1);
        queue.close();
        assert!(!queue.write(StatusCode::EARLY_HINTS, FieldMap::new()));
    }
}
