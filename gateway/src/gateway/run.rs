//! The control thread: takes configurations and plugin changes one after the other, until it is to drain.
//!
//! What takes its time (reading, compiling, looking names up) is a [`Job`] that runs beside the loop, so that a signal is
//! heard at once; what puts a result in force is short, can't fail, and runs in the loop.

use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;

use super::control::Control;
use super::drain::Drained;
use super::error::ApplyError;
use super::reload::{self, Basis, ReloadOutcome};
use super::signals::{Signal, Signals};
use super::start::{self, Started};
use super::surroundings::Clock;
use crate::plugin::{Compiler, Judgement};
use crate::watch::{Watch, WatchOptions};

/// How often what has expired is dropped, and what failed for want of room is tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// What the control thread is asked from outside.
pub(super) enum Request {
    Reload(oneshot::Sender<Result<(), ApplyError>>),
    Drain,
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
    /// A plugin has changed, or has been compiled, since the job that runs began: it may have looked before that.
    moved: bool,
}

impl Wanted {
    /// The plugin directory has changed, or a file of it has been compiled. `refused`: the configuration that was read last is
    /// not the one in force, and may work now: it and the plugin that it needs come in any order.
    fn plugins_changed(&mut self, refused: bool) {
        self.plugins = true;
        self.again |= refused;
        self.waits = false;
        self.moved = true;
    }

    /// A reload needs a plugin that was being compiled when it looked. Where that has ended meanwhile nobody will tell of it
    /// again, so it is tried again at once.
    fn postpone(&mut self, reply: Option<Reply>) {
        self.again |= self.moved;
        self.waits = !self.moved;
        self.requests.extend(reply);
    }
}

/// What a job found.
enum JobOutcome {
    Reload { outcome: ReloadOutcome, asked: bool, reply: Option<Reply> },
    Plugins(Result<Judgement, JoinError>),
}

/// One piece of work beside the loop.
type Job = Pin<Box<dyn Future<Output = JobOutcome>>>;

/// The outcome of the job; never, where there is none.
async fn outcome(job: &mut Option<Job>) -> JobOutcome {
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
                        self.access_log.reopen();
                        Arc::make_mut(&mut self.registry).forget_dry_runs();
                        wanted.again = true;
                        wanted.asked = true;
                    }
                },
                _ = housekeeping.tick() => {
                    clock.look();
                    self.tell_heads();
                    let state = self.state.clone();
                    tokio::task::spawn_blocking(move || state.sweep(state.now()));
                    wanted.plugins |= self.registry.should_try_again();
                    wanted.again |= self.refused_for_now;
                }
                outcome = outcome(&mut job) => match outcome {
                    JobOutcome::Reload { outcome, asked, reply } => {
                        let result = self.finish_reload(outcome, asked);
                        files_watch.set_paths(self.attempted.files());
                        plugins_watch.set_paths(self.plugin_files());
                        match (result, reply) {
                            (Some(result), Some(reply)) => drop(reply.send(result)),
                            (Some(_), None) => {}
                            (None, reply) => wanted.postpone(reply),
                        }
                    }
                    JobOutcome::Plugins(judgement) => self.finish_plugins(judgement),
                },
            }
        };
        drop((job, files_watch, plugins_watch));
        self.registry.stop();
        self.drain(signals, delay).await
    }

    fn plugins_changed(&self, wanted: &mut Wanted) {
        wanted.plugins_changed(self.attempted != self.applied);
    }

    /// Starts the next job, if there is something to do.
    fn next(&self, wanted: &mut Wanted) -> Option<Job> {
        wanted.moved = false;
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
                access_log: self.access_log.clone(),
                leaving: self.listeners.leaving(),
            };
            let asked = std::mem::take(&mut wanted.asked) || reply.is_some();
            return Some(Box::pin(
                async move { JobOutcome::Reload { outcome: reload::load(basis).await, asked, reply } },
            ));
        }
        if std::mem::take(&mut wanted.plugins) {
            let (registry, config) = (self.registry.clone(), self.snapshot.config.clone());
            let judging = tokio::task::spawn_blocking(move || registry.judge_now(&config));
            return Some(Box::pin(async { JobOutcome::Plugins(judging.await) }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_not_forgotten_whose_plugin_is_compiled_while_it_looks() {
        let reply = || Some(oneshot::channel().0);
        // Compiled between the look and its outcome: the news was there before anybody waited for it.
        let mut wanted = Wanted::default();
        wanted.plugins_changed(false);
        wanted.postpone(reply());
        assert!(wanted.again && !wanted.waits && wanted.requests.len() == 1);
        // Compiled later: that is told.
        let mut wanted = Wanted::default();
        wanted.postpone(reply());
        assert!(!wanted.again && wanted.waits);
        wanted.plugins_changed(true);
        assert!(wanted.again && !wanted.waits);
    }
}
