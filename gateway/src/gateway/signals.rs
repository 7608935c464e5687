//! Signals as events: SIGTERM and SIGINT drain, SIGTERM after the configured delay, and cut what is left of a drain that
//! runs already; SIGHUP reloads and reopens the access log.

use tokio::signal::unix::{Signal as Source, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM: a platform stops the process, and balancers have to learn of it.
    Terminate,
    /// SIGINT: somebody waits at a terminal.
    Interrupt,
    /// SIGHUP.
    Reload,
}

/// The signals that the gateway handles.
pub(super) struct Signals {
    terminate: Source,
    interrupt: Source,
    hangup: Source,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next request to end. Any other signal is kept for later; never, where none are handled.
    pub(super) async fn ended(signals: &mut Option<Self>) {
        let Some(Self { terminate, interrupt, .. }) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    /// The next signal; never, where none are handled.
    pub(super) async fn next(signals: &mut Option<Self>) -> Signal {
        let Some(Self { terminate, interrupt, hangup }) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => Signal::Terminate,
            _ = interrupt.recv() => Signal::Interrupt,
            _ = hangup.recv() => Signal::Reload,
        }
    }
}
