//! Frames that ask for nothing cost work as well: who sends many more of them than useful ones is no client.
//!
//! Useful are frames that bring a request or its content, and what of a response goes out; everything else is control. A
//! reset takes back that its request was useful. Which frame is what, each protocol knows.

use std::cell::Cell;
use std::time::Instant;

/// How many frames of control a client may send at once.
pub(super) const MOST: u32 = 10_000;
/// How many more it may for a useful frame.
const PER_USEFUL: u32 = 10;
/// A response is worth a useful frame for each such part of it, and one for its head: clients open their windows as they
/// read, some of them for every frame.
const PART: usize = 1 << 10;
/// How many more it may for a second that passes.
const PER_SECOND: u128 = 100;

/// What a client may send of control.
pub(super) struct Allowance {
    left: Cell<u32>,
    /// Up to when time is reckoned in.
    since: Cell<Instant>,
    exceeded: Cell<bool>,
}

impl Allowance {
    /// All of it.
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: Cell::new(MOST), since: Cell::new(now), exceeded: Cell::new(false) }
    }

    /// Whether the client has sent more.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// A part of a response goes out: its head, or so many bytes of its content.
    pub(super) fn responded(&self, bytes: usize) {
        self.useful(u32::try_from(bytes / PART).unwrap_or(MOST).saturating_add(1));
    }

    /// So many useful frames have come.
    pub(super) fn useful(&self, frames: u32) {
        self.left.set(self.left.get().saturating_add(frames.saturating_mul(PER_USEFUL)).min(MOST));
    }

    /// A request was given up by its client.
    pub(super) fn reset(&self, now: impl FnOnce() -> Instant) {
        self.control(1 + PER_USEFUL, now);
    }

    /// So many frames of control have come.
    pub(super) fn control(&self, frames: u32, now: impl FnOnce() -> Instant) {
        if let Some(left) = self.left.get().checked_sub(frames) {
            return self.left.set(left);
        }
        let now = now();
        let passed = now.saturating_duration_since(self.since.replace(now));
        let regained = u32::try_from(passed.as_millis() * PER_SECOND / 1000).unwrap_or(MOST).min(MOST);
        match (self.left.get() + regained).checked_sub(frames) {
            Some(left) => self.left.set(left),
            None => self.exceeded.set(true),
        }
    }
}
