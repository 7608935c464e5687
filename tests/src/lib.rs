//! The harness of the end-to-end tests: a gateway on port 0, scripted upstreams, clients of all three protocols,
//! throwaway certificates. Everything runs on loopback and ends with the value that started it.

pub mod certs;
pub mod client;
pub mod duplex;
pub mod foreign;
pub mod gateway;
pub mod guests;
pub mod load;
pub mod process;
pub mod raw;
pub mod upstream;

use std::time::{Duration, Instant};

/// The bound of every wait: long enough for a busy machine, and only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `probe` gives a value, looking every few milliseconds; panics with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
