//! Wires everything: configuration → plugins → listeners → snapshot → workers, then reloads, then a drain.
//!
//! One control thread with a small runtime of its own carries what is not per request: the watchers of the
//! configuration and of the plugin directory, signals, the admin listener, DNS. Reloads are handled one after the
//! other; each builds all of the new before it touches any of the old, so a failed one changes nothing.

mod control;
mod listeners;
mod prepare;
mod reload;
mod signals;
mod start;
mod surroundings;
mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::{ConfigError, ConfigErrors};
use crate::listener::bind::BindError;
use crate::listener::tls::TlsError;
use crate::model::LogTarget;
use crate::plugin::{Compiler, HostError};

/// Why the gateway could not start, or could not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file, or something that it names (a plugin, a certificate), is wrong. Holds every mistake with its place.
    #[error("{0}")]
    Config(ConfigErrors),
    /// A listener's address can't be bound.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// TLS can't be set up.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The plugin host can't be set up.
    #[error("{0}")]
    Host(#[from] HostError),
    /// A signal asked for the end before anything was served.
    #[error("ended by a signal while starting")]
    Stopped,
    /// The log, a thread or the admin address.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ApplyError {
    fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    fn access_log(target: &LogTarget) -> impl FnOnce(std::io::Error) -> Self {
        let what = match target {
            LogTarget::File(path) => format!("opening the access log {}", path.display()),
            LogTarget::Stdout | LogTarget::Off => "opening the access log".to_owned(),
        };
        Self::system(what)
    }
}

/// A running gateway.
pub struct Gateway {
    control: mpsc::UnboundedSender<Request>,
    thread: Option<JoinHandle<Drained>>,
    listeners: Vec<(Arc<str>, SocketAddr)>,
    admin: Option<SocketAddr>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was finished.
    Clean,
    /// The limit passed, or a second signal came: what still ran was cut.
    Cut,
}

/// What the control thread is asked from outside.
enum Request {
    Reload(oneshot::Sender<Result<(), ApplyError>>),
    Drain,
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
            .spawn(move || control::run(&path, compiler, signals, requests, &started))
            .map_err(ApplyError::system("starting the control thread"))?;
        match start.recv() {
            Ok(Ok(control::Started { listeners, admin })) => {
                Ok(Self { control, thread: Some(thread), listeners, admin })
            }
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

/// How often the control thread looks whether the workers have finished.
const POLL: Duration = Duration::from_millis(10);

/// Checks a configuration and every plugin that it uses without serving anything. Gives back the warnings.
pub fn check(config: &Path, compiler: Compiler) -> Result<Vec<ConfigError>, ApplyError> {
    prepare::check(config, compiler)
}
