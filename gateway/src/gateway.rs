//! Wires everything: configuration → plugins → listeners → snapshot → workers, then reloads, then a drain.
//!
//! One control thread with a small runtime of its own carries what is not per request: the watchers of the
//! configuration and of the plugin directory, signals, the admin listener, DNS. Reloads are handled one after the
//! other; each builds all of the new before it touches any of the old, so a failed one changes nothing.

mod access_logs;
mod control;
mod drain;
mod error;
mod exports;
mod listeners;
mod prepare;
mod push;
mod reload;
mod run;
mod signals;
mod start;
mod surroundings;
mod trail;
mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use drain::Drained;
pub use error::ApplyError;
pub use prepare::{Checked, check, try_plugin};
use run::Request;
use start::Started;

use crate::plugin::Compiler;

/// A running gateway.
pub struct Gateway {
    control: mpsc::UnboundedSender<Request>,
    thread: Option<JoinHandle<Drained>>,
    listeners: Vec<(Arc<str>, SocketAddr)>,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts a gateway from a configuration file, with a program that compiles plugins. Returns when every listener
    /// accepts connections.
    pub fn start(config: &Path, compiler: Compiler) -> Result<Self, ApplyError> {
        Self::start_with(config, compiler, false)
    }

    /// The same; with `signals`, SIGTERM and SIGINT drain, and cut what is left when they come again; SIGHUP reloads and
    /// reopens the access log.
    pub fn start_with(config: &Path, compiler: Compiler, signals: bool) -> Result<Self, ApplyError> {
        let path: PathBuf = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let (control, requests) = mpsc::unbounded_channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || run::run(&path, compiler, signals, requests, &started))
            .map_err(ApplyError::system("starting the control thread"))?;
        match start.recv() {
            Ok(Ok(Started { listeners, admin })) => Ok(Self { control, thread: Some(thread), listeners, admin }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ApplyError::System {
                what: "the control thread ended while starting".to_owned(),
                source: std::io::ErrorKind::Other.into(),
            }),
        }
    }

    /// The bound addresses by listener name, in the order of the configuration.
    pub fn listeners(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.listeners
    }

    /// The bound admin address.
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Reads the configuration again and applies it; returns when every worker has been told.
    pub fn reload(&self) -> Result<(), ApplyError> {
        let (reply, answer) = oneshot::channel();
        let gone = || ApplyError::System {
            what: "the gateway is shutting down".to_owned(),
            source: std::io::ErrorKind::BrokenPipe.into(),
        };
        self.control.send(Request::Reload(reply)).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    /// Stops accepting, lets requests finish within the configured limit, and ends every thread.
    pub fn drain(mut self) -> Drained {
        let _ = self.control.send(Request::Drain);
        self.join()
    }

    /// Waits until a signal has ended the gateway.
    pub fn wait(mut self) -> Drained {
        self.join()
    }

    fn join(&mut self) -> Drained {
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(Drained::Cut)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.control.send(Request::Drain);
            self.join();
        }
    }
}
