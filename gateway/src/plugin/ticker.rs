//! The thread that moves the engine's epoch, by which running calls are looked at.
//!
//! Each move takes a core some 10 µs, so it ticks only as often as somebody has use for it: every 5 ms while plugins are
//! called, every millisecond while some of their calls are long, and not at all once nobody has called one for a second.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Length of an epoch: how often a call is looked at. One that spends its budget is stopped within two epochs after that.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Length of an epoch while there are calls that give way: how long one keeps the others waiting.
const SHORT_TICK: Duration = Duration::from_millis(1);
/// How long an epoch stays short, and a thread that nobody needs awake.
const LOOK: Duration = Duration::from_secs(1);
/// It looks this often whether it was forgotten.
const NAP: Duration = Duration::from_secs(60);

/// What callers and the thread tell each other. Callers only read, but for once a second.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Nobody has called since the thread last looked.
    unused: AtomicBool,
    /// Some calls are long.
    short: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Default for Ticker {
    fn default() -> Self {
        Self { unused: AtomicBool::new(true), short: AtomicBool::new(false), thread: OnceLock::new() }
    }
}

impl Ticker {
    /// A call begins, goes on, or is still running.
    pub(crate) fn keep(&self) {
        if self.unused.load(Relaxed) {
            self.unused.store(false, Relaxed);
            self.wake();
        }
    }

    /// A call may be long, and gives way to others with every epoch.
    pub(crate) fn keep_short(&self) {
        self.keep();
        if !self.short.load(Relaxed) {
            self.short.store(true, Relaxed);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// The thread's work: `tick` moves the epoch; once it says no, there is nothing left to do. Called once.
    pub(crate) fn run(&self, mut tick: impl FnMut() -> bool) {
        let _ = self.thread.set(std::thread::current());
        let (mut looked, mut short) = (Instant::now(), false);
        loop {
            short |= self.short.load(Relaxed);
            // Whoever wakes it does so by `unpark`, which is not lost where it comes before this.
            std::thread::park_timeout(if short { SHORT_TICK } else { TICK });
            if !tick() {
                return;
            }
            if looked.elapsed() < LOOK {
                continue;
            }
            short = self.short.swap(false, Relaxed);
            if self.unused.swap(true, Relaxed) {
                // A call that runs has been looked at in this second, so it would have said so.
                while self.unused.load(Relaxed) {
                    std::thread::park_timeout(NAP);
                    if !tick() {
                        return;
                    }
                }
            }
            looked = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn eventually(what: &str, mut is: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn nobody_is_woken_while_no_plugin_is_called() {
        let (ticker, ticks) = (Arc::new(Ticker::default()), Arc::new(AtomicU64::new(0)));
        let (running, counted) = (ticker.clone(), ticks.clone());
        let thread = std::thread::spawn(move || running.run(|| counted.fetch_add(1, Relaxed) < 1_000_000));
        ticker.keep();
        eventually("it ticks for a caller", || ticks.load(Relaxed) > 3);
        // Without one it stops: two looks with no tick between them that a second of them would not have had.
        eventually("it rests", || {
            let before = ticks.load(Relaxed);
            std::thread::sleep(Duration::from_millis(300));
            ticks.load(Relaxed) == before
        });
        let before = ticks.load(Relaxed);
        ticker.keep_short();
        eventually("it is there again", || ticks.load(Relaxed) > before + 3);
        ticks.store(1_000_000, Relaxed);
        ticker.keep();
        thread.join().unwrap();
    }
}
