//! The control thread: takes configurations and plugin changes one after the other, and drains.
//!
//! What takes its time (reading, compiling, looking names up) is a [`Job`] that runs beside the loop, so that a signal is
//! heard at once; what puts a result in force is short, can't fail, and runs in the loop.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;

use super::listeners::Listeners;
use super::reload::{self, Attempt, Basis};
use super::signals::{Signal, Signals};
use super::surroundings::Clock;
use super::workers::Workers;
use super::{ApplyError, Drained, POLL, Request, prepare, start};
use crate::access_log::AccessLog;
use crate::admin::AdminState;
use crate::config::{ConfigErrors, Contents};
use crate::memory::Memory;
use crate::plugin::{Accepted, Compiler, Judgement, Registry};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::telemetry::log::ErrorLog;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::watch::{Watch, WatchOptions};
use crate::worker::Command;

/// How often what has expired is dropped, and what failed for want of room is tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// What `Gateway::start` waits for.
pub(super) struct Started {
    pub(super) listeners: Vec<(Arc<str>, SocketAddr)>,
    pub(super) admin: Option<SocketAddr>,
}

type StartSender = std::sync::mpsc::SyncSender<Result<Started, ApplyError>>;
type Reply = oneshot::Sender<Result<(), ApplyError>>;

/// The body of the control thread.
pub(super) fn run(
    path: &Path,
    compiler: Compiler,
    signals: bool,
    requests: mpsc::UnboundedReceiver<Request>,
    started: &StartSender,
) -> Drained {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(ApplyError::system("starting the control runtime")(error)));
            return Drained::Clean;
        }
    };
    let drained = runtime.block_on(async {
        // Before anything else: the default of each is to end the process.
        let signals = signals.then(Signals::new).transpose().map_err(ApplyError::system("handling signals"));
        let start = match signals {
            Ok(mut signals) => tokio::select! {
                start = start::start(path, compiler) => start.map(|(control, bound)| (control, bound, signals)),
                () = Signals::ended(&mut signals) => Err(ApplyError::Stopped),
            },
            Err(error) => Err(error),
        };
        match start {
            Ok((control, bound, signals)) => {
                let _ = started.send(Ok(bound));
                control.serve(signals, requests).await
            }
            Err(error) => {
                let _ = started.send(Err(error));
                Drained::Clean
            }
        }
    });
    runtime.shutdown_background();
    drained
}

/// How long the workers may take to close what a drain has left over.
const CUTTING: Duration = Duration::from_millis(300);

/// All that is in force.
pub(super) struct Control {
    pub(super) path: PathBuf,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Memory,
    pub(super) state: State,
    pub(super) access_log: AccessLog,
    pub(super) log: Option<ErrorLog>,
    pub(super) admin: Arc<AdminState>,
    /// What the admin page shows of plugins.
    pub(super) description: Arc<Mutex<serde_json::Value>>,
    pub(super) admin_shutdown: watch::Sender<bool>,
    pub(super) listeners: Listeners,
    pub(super) workers: Workers,
    /// The files that the configuration in force came from, and what was in them.
    pub(super) applied: Contents,
    /// The same of what was read last, in force or refused.
    pub(super) attempted: Contents,
    /// The plugin files that it names, where it was refused.
    pub(super) refused_plugins: BTreeSet<PathBuf>,
    /// What was read last was refused for a reason that passes by itself.
    pub(super) refused_for_now: bool,
}

/// What is to be done when the job that runs is done.
#[derive(Default)]
struct Wanted {
    /// Requests for a reload, answered one by one.
    requests: VecDeque<Reply>,
    /// The configuration's files may have changed since they were read last.
    files: bool,
    /// The configuration on disk may work now, though its files are those that were refused.
    again: bool,
    /// Somebody asked for the files to be read, and is to hear what came of it.
    asked: bool,
    /// The plugin directory may have changed, or a file of it has been compiled.
    plugins: bool,
    /// What was read last needs a plugin that is being compiled: requests for a reload wait until something has changed.
    waits: bool,
}

/// What a job found.
enum Outcome {
    Reload { attempt: Attempt, asked: bool, reply: Option<Reply> },
    Plugins(Result<Judgement, JoinError>),
}

/// One piece of work beside the loop.
type Job = Pin<Box<dyn Future<Output = Outcome>>>;

/// The outcome of the job; never, where there is none.
async fn outcome(job: &mut Option<Job>) -> Outcome {
    let Some(running) = job else { return std::future::pending().await };
    let outcome = running.await;
    *job = None;
    outcome
}

impl Control {
    async fn serve(mut self, mut signals: Option<Signals>, mut requests: mpsc::UnboundedReceiver<Request>) -> Drained {
        let (files_watch, mut files_changed) = Watch::start(self.attempted.files(), WatchOptions::default());
        let (plugins_watch, mut plugins_changed) = Watch::start(self.plugin_files(), WatchOptions::default());
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut clock = Clock::new();
        let mut loaded = self.registry.loaded();
        // What changed between the first reading and the start of the watch.
        let mut wanted = Wanted { files: true, plugins: true, ..Wanted::default() };
        let mut job = None;
        let delay = loop {
            if job.is_none() {
                job = self.next(&mut wanted);
            }
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload(reply)) => {
                        Arc::make_mut(&mut self.registry).forget_dry_runs();
                        wanted.requests.push_back(reply);
                        wanted.waits = false;
                    }
                    Some(Request::Drain) | None => break Duration::ZERO,
                },
                Some(()) = files_changed.recv() => wanted.files = true,
                Some(()) = plugins_changed.recv() => self.plugins_changed(&mut wanted),
                Ok(()) = loaded.changed() => self.plugins_changed(&mut wanted),
                signal = Signals::next(&mut signals) => match signal {
                    Signal::Terminate => break self.snapshot.config.drain.delay,
                    Signal::Interrupt => break Duration::ZERO,
                    Signal::Reload => {
                        self.access_log.reopen(&self.snapshot.log_target);
                        Arc::make_mut(&mut self.registry).forget_dry_runs();
                        wanted.again = true;
                        wanted.asked = true;
                    }
                },
                _ = housekeeping.tick() => {
                    clock.look();
                    let state = self.state.clone();
                    tokio::task::spawn_blocking(move || state.sweep(state.now()));
                    wanted.plugins |= self.registry.should_try_again();
                    wanted.again |= self.refused_for_now;
                }
                outcome = outcome(&mut job) => match outcome {
                    Outcome::Reload { attempt, asked, reply } => {
                        let result = self.finish_attempt(attempt, asked);
                        files_watch.set_paths(self.attempted.files());
                        plugins_watch.set_paths(self.plugin_files());
                        match (result, reply) {
                            (Some(result), Some(reply)) => drop(reply.send(result)),
                            (Some(_), None) => {}
                            (None, reply) => {
                                wanted.waits = true;
                                wanted.requests.extend(reply);
                            }
                        }
                    }
                    Outcome::Plugins(judgement) => self.finish_plugins(judgement),
                },
            }
        };
        drop((job, files_watch, plugins_watch));
        self.registry.stop();
        self.drain(signals, delay).await
    }

    /// The files that routes name, also those of a configuration that was refused: it may be for want of one.
    fn plugin_files(&self) -> Vec<PathBuf> {
        let mut files = self.snapshot.config.plugin_files();
        files.extend(self.refused_plugins.iter().cloned());
        files.into_iter().collect()
    }

    fn plugins_changed(&self, wanted: &mut Wanted) {
        wanted.plugins = true;
        // A configuration and the plugin that it needs come in any order.
        wanted.again |= self.attempted != self.applied;
        wanted.waits = false;
    }

    /// Starts the next job, if there is something to do.
    fn next(&self, wanted: &mut Wanted) -> Option<Job> {
        let reply = if wanted.waits { None } else { wanted.requests.pop_front() };
        let again = std::mem::take(&mut wanted.again) || reply.is_some();
        // One change can be announced twice, or come with a request to reload: it is tried once.
        if std::mem::take(&mut wanted.files) || again {
            let basis = Basis {
                path: self.path.clone(),
                applied: self.applied.clone(),
                refused: (!again).then(|| self.attempted.clone()),
                snapshot: self.snapshot.clone(),
                registry: self.registry.clone(),
                leaving: self.listeners.leaving(),
            };
            let asked = std::mem::take(&mut wanted.asked) || reply.is_some();
            return Some(Box::pin(
                async move { Outcome::Reload { attempt: reload::attempt(basis).await, asked, reply } },
            ));
        }
        if std::mem::take(&mut wanted.plugins) {
            let (registry, config) = (self.registry.clone(), self.snapshot.config.clone());
            let judging = tokio::task::spawn_blocking(move || registry.judge_now(&config));
            return Some(Box::pin(async { Outcome::Plugins(judging.await) }));
        }
        None
    }

    fn finish_plugins(&mut self, judgement: Result<Judgement, JoinError>) {
        let Judgement { findings, verdict, awaited } = match judgement {
            Ok(judgement) => judgement,
            Err(panic) => {
                self.metrics.reloaded(Reload::Plugin, false);
                return tracing::error!(%panic, "trying the plugins failed; what serves goes on");
            }
        };
        Arc::make_mut(&mut self.registry).learn(findings);
        match verdict {
            Ok(accepted) => {
                let plugins = accepted.plugins.clone();
                if !plugins.is_same(&self.snapshot.plugins) {
                    self.swap(self.snapshot.with_plugins(plugins));
                    self.metrics.reloaded(Reload::Plugin, true);
                }
                self.commit_plugins(accepted);
            }
            // What is in force has a version of each.
            Err(problems) if problems.is_empty() => tracing::debug!(?awaited, "plugins are being compiled"),
            Err(problems) => {
                self.metrics.reloaded(Reload::Plugin, false);
                let errors = prepare::plugin_errors(&self.path, &self.snapshot.config, &problems);
                tracing::error!("{}", ConfigErrors::new(errors));
            }
        }
    }

    /// Makes the registry say what serves.
    pub(super) fn commit_plugins(&mut self, accepted: Accepted) {
        let registry = Arc::make_mut(&mut self.registry);
        let before: Vec<String> = registry.in_force().map(|plugin| plugin.name.to_owned()).collect();
        for _ in registry.commit(accepted) {
            self.metrics.reloaded(Reload::Plugin, false);
        }
        for gone in before.iter().filter(|name| self.registry.in_force().all(|plugin| plugin.name != **name)) {
            self.metrics.forget_plugin(gone);
        }
        self.show_plugins();
    }

    /// Shows the plugins that serve on the admin listener.
    pub(super) fn show_plugins(&self) {
        for plugin in self.registry.in_force() {
            self.metrics.plugin_in_force(plugin.name, plugin.version, plugin.hash);
        }
        if let Ok(mut description) = self.description.lock() {
            *description = self.registry.describe();
        }
    }

    /// Shows the configuration in force on the admin listener.
    pub(super) fn show_config(&self) {
        self.metrics.config_in_force(&self.applied.hash(&self.path).unwrap_or_default());
    }

    /// Has new requests served from another snapshot.
    pub(super) fn swap(&mut self, snapshot: Snapshot) {
        self.snapshot = Arc::new(snapshot);
        self.metrics.show_endpoints(self.snapshot.endpoint_health());
        self.workers.tell(|| Command::Swap(self.snapshot.clone()));
    }

    /// Waits for the workers' threads, at most so long.
    async fn ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.workers.are_finished();
            if ended || Instant::now() >= deadline {
                return ended;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Readiness fails; after the delay listeners close and requests finish; what is left at the limit is cut, or when it
    /// is asked for again.
    async fn drain(self, mut signals: Option<Signals>, delay: Duration) -> Drained {
        self.admin.ready.store(false, Ordering::Relaxed);
        let urged = !delay.is_zero() && self.delayed(&mut signals, delay).await;
        // What has nothing left to do ends by itself also then.
        let limit = if urged { CUTTING } else { self.snapshot.config.drain.timeout };
        tracing::info!(?limit, "draining");
        self.workers.tell(|| Command::Drain);
        let why = tokio::select! {
            ended = self.ended_within(limit) => match (ended, urged) {
                (true, _) => None,
                (false, true) => Some("another signal came"),
                (false, false) => Some("the drain limit passed"),
            },
            () = self.urged(&mut signals) => Some("another signal came"),
        };
        match why {
            None => tracing::info!("drained"),
            Some(why) => {
                self.workers.tell(|| Command::Cut);
                // For the records of what was cut.
                self.ended_within(CUTTING).await;
                tracing::warn!(?limit, "{why}; what still ran was cut");
            }
        }
        let _ = self.admin_shutdown.send(true);
        self.registry.remove_status_files(|_| true);
        self.access_log.finish();
        if why.is_none() { Drained::Clean } else { Drained::Cut }
    }

    /// Goes on accepting for so long, though no longer ready: balancers look only every few seconds, and what they send
    /// meanwhile would be refused. True where another signal ended it.
    async fn delayed(&self, signals: &mut Option<Signals>, delay: Duration) -> bool {
        tracing::info!(?delay, "no longer ready; draining begins after the delay");
        tokio::select! {
            () = tokio::time::sleep(delay) => false,
            () = self.urged(signals) => true,
        }
    }

    /// Ends with the next signal that asks for the end. Logs may be moved also during a drain.
    async fn urged(&self, signals: &mut Option<Signals>) {
        while Signals::next(signals).await == Signal::Reload {
            self.access_log.reopen(&self.snapshot.log_target);
        }
    }
}
