//! The client of a connection, as the connection's streams know it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use h3::error::Code;

use super::codes::var_int;
use super::frames::{Counts, Violation, fatal};
use crate::protocol::allowance::Allowance;

/// The client of a connection: what it takes, and what it may send.
pub(super) struct Peer {
    pub(super) quinn: quinn::Connection,
    allowance: Allowance,
    /// The largest field section that it takes (RFC 9114 section 7.2.4.1).
    pub(super) field_limit: Cell<u64>,
}

impl Peer {
    pub(super) fn new(quinn: quinn::Connection) -> Rc<Self> {
        let allowance = Allowance::new(Instant::now());
        Rc::new(Self { quinn, allowance, field_limit: Cell::new(u64::MAX) })
    }

    /// Reckons with what has come. A flood ends the connection.
    pub(super) fn count(&self, counts: &mut Counts) {
        let Counts { useful, control } = std::mem::take(counts);
        if useful > 0 {
            self.allowance.useful(useful);
        }
        if control > 0 {
            self.allowance.control(control, Instant::now);
            self.check();
        }
    }

    /// The client gave a request up. Many of those are a flood (RFC 9114 section 10.5).
    pub(super) fn gave_up(&self) {
        self.allowance.reset(Instant::now);
        self.check();
    }

    /// A part of a response goes out: its head, or so many bytes of its content.
    pub(super) fn responded(&self, bytes: usize) {
        self.allowance.responded(bytes);
    }

    /// Whether the connection ends for a flood.
    pub(super) fn is_flooding(&self) -> bool {
        self.allowance.is_exceeded()
    }

    fn check(&self) {
        if self.is_flooding() {
            self.close(fatal(Code::H3_EXCESSIVE_LOAD, "more that asks for nothing than requests"));
        }
    }

    /// Ends the connection for what its client has done.
    pub(super) fn close(&self, Violation { code, what, .. }: Violation) {
        self.quinn.close(var_int(code.value()), what.as_bytes());
    }
}
