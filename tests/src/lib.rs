//! The harness of the end-to-end tests: a gateway on port 0, scripted upstreams, clients of all three protocols,
//! throwaway certificates. Everything runs on loopback and ends with the value that started it.

pub mod audit;
pub mod certs;
pub mod client;
pub mod collector;
pub mod duplex;
pub mod foreign;
pub mod gateway;
pub mod guests;
pub mod hostile;
pub mod load;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod raw;
pub mod upstream;

use std::fmt::Debug;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The bound of every wait: long enough for a busy machine, and only ever reached by a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a probe found, or what it saw instead.
pub trait Probed {
    /// What is waited for.
    type Found;

    /// The value, or what to tell of the last look when the time is up.
    fn found(self) -> Result<Self::Found, String>;
}

impl<T> Probed for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

impl<T, E: Debug> Probed for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|seen| format!("; seen last: {seen:?}"))
    }
}

impl Probed for bool {
    type Found = ();

    fn found(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(String::new)
    }
}

/// Waits until `probe` gives a value, looking every few milliseconds; panics with `what` after [`PATIENCE`]. The error of
/// a probe is what it saw: the last one is told then.
pub fn eventually<P: Probed>(what: &str, mut probe: impl FnMut() -> P) -> P::Found {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match probe().found() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}{seen}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number that is free on both transports and that the system gives to nobody who asks for any: below the ephemeral
/// ports, where sockets of other tests come and go.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).expect("small") * 10;
    (0..1000)
        .map(|_| 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| {
            let address = (Ipv4Addr::LOCALHOST, *port);
            TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
        })
        .expect("a free port")
}
