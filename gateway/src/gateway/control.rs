//! The control thread: applies configurations and plugin changes one after the other, and drains.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::signals::{Signal, Signals};
use super::{ApplyError, Drained, POLL, Request};
use crate::access_log::AccessLog;
use crate::admin::{self, AdminState};
use crate::config::model::{Config, Listener, ListenerTls};
use crate::config::{self, ConfigError, ConfigErrors, Diff};
use crate::listener::bind::{self, BoundListener};
use crate::listener::fdlimit;
use crate::listener::tcp::ConnectionLimit;
use crate::listener::tls::TlsState;
use crate::plugin::stored::StoredResponses;
use crate::plugin::{Host, HostOptions, PluginProblem, PluginSet, Registry, Trigger};
use crate::snapshot::Snapshot;
use crate::state::{NamespaceLimits, State};
use crate::telemetry::log;
use crate::telemetry::metrics::{Metrics, Reload};
use crate::telemetry::plugin_sink::PluginSink;
use crate::watch::{Watch, WatchOptions};
use crate::worker::{self, Command, WorkerListener, WorkerParts};

/// What `Gateway::start` waits for.
pub(super) struct Started {
    pub(super) listeners: Vec<(Arc<str>, SocketAddr)>,
    pub(super) admin: Option<SocketAddr>,
}

type StartSender = std::sync::mpsc::SyncSender<Result<Started, ApplyError>>;

/// The body of the control thread.
pub(super) fn run(
    path: &Path,
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
        match Control::start(path).await {
            Ok((control, bound)) => {
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

struct Control {
    path: PathBuf,
    snapshot: Arc<Snapshot>,
    registry: Option<Registry>,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
    admin: Arc<AdminState>,
    /// What the admin page shows of plugins.
    description: Arc<Mutex<serde_json::Value>>,
    admin_shutdown: watch::Sender<bool>,
    listeners: Vec<ActiveListener>,
    workers: Vec<WorkerThread>,
    /// Files that the configuration names, the configuration itself included.
    files: Vec<PathBuf>,
    /// What was in them when they were applied last.
    applied: Option<Fingerprint>,
    /// What was in them when they were read last, applied or refused.
    attempted: Option<Fingerprint>,
}

struct ActiveListener {
    config: Arc<Listener>,
    local: SocketAddr,
    tls: Option<Arc<TlsState>>,
}

struct WorkerThread {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Control {
    async fn start(path: &Path) -> Result<(Self, Started), ApplyError> {
        let loaded = config::load(path).map_err(ApplyError::Config)?;
        let contents = fingerprint(&loaded.files);
        let config = Arc::new(loaded.config);
        // Only the first gateway of a process (there are several in tests) can set the log up.
        let _ = log::init(&config.log);
        for warning in loaded.warnings {
            tracing::warn!("{warning}");
        }
        match fdlimit::raise() {
            Some(limit) => tracing::debug!(limit, "file descriptor limit"),
            None => tracing::warn!("the file descriptor limit could not be raised"),
        }
        let metrics = Metrics::new();
        let state = State::in_memory(NamespaceLimits {
            entries: config.state.max_entries,
            bytes: config.state.max_bytes,
            ..NamespaceLimits::default()
        });
        let stored = Arc::new(StoredResponses::new(config.state.stored_responses));
        let host = Host::new(HostOptions {
            cache: cache_directory(),
            state,
            metrics: Arc::new(PluginSink::new(metrics.clone())),
            ..HostOptions::default()
        })?;
        let registry = Registry::new(host.clone(), config.plugins.directory.clone());
        let (registry, plugins) = apply_plugins(registry, config.clone(), Trigger::Start).await;
        let plugins = plugins.map_err(|problems| ApplyError::Config(plugin_errors(path, &config, &problems)))?;

        let mut bound = Vec::new();
        for listener in &config.listeners {
            bound.push(prepare(listener, config.workers)?);
        }
        let ports =
            bound.iter().map(|one: &Prepared| (one.bound.config.name.clone(), one.bound.local.port())).collect();
        let snapshot = Arc::new(Snapshot::build(config.clone(), plugins, ports, None).await?);
        let access_log = AccessLog::start(&config.access_log, metrics.access_log_dropped.clone())
            .map_err(ApplyError::system("opening the access log"))?;

        let mut workers = Vec::new();
        for index in 0..config.workers {
            let (commands, received) = mpsc::unbounded_channel();
            let parts = WorkerParts {
                snapshot: snapshot.clone(),
                stored: stored.clone(),
                metrics: metrics.clone(),
                access_log: access_log.worker(&config.access_log),
                commands: received,
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    if let Err(error) = worker::run(parts) {
                        tracing::error!(%error, "a worker could not start");
                    }
                })
                .map_err(ApplyError::system("starting a worker"))?;
            workers.push(WorkerThread { commands, thread });
        }
        let (admin_shutdown, mut shutdown) = watch::channel(false);
        let description = Arc::new(Mutex::new(registry.describe()));
        let shown = description.clone();
        let admin = Arc::new(AdminState {
            ready: AtomicBool::new(false),
            metrics: metrics.clone(),
            plugins: Box::new(move || shown.lock().map(|shown| shown.clone()).unwrap_or_default()),
        });
        let mut admin_address = None;
        if let Some(settings) = &config.admin {
            let listener = tokio::net::TcpListener::bind(settings.address)
                .await
                .map_err(ApplyError::system(format!("binding the admin address {}", settings.address)))?;
            admin_address = listener.local_addr().ok();
            let ended = async move {
                let _ = shutdown.wait_for(|ended| *ended).await;
            };
            tokio::spawn(admin::serve(listener, admin.clone(), ended));
        }
        let mut control = Self {
            path: path.to_owned(),
            snapshot,
            registry: Some(registry),
            metrics,
            access_log,
            admin,
            description,
            admin_shutdown,
            listeners: Vec::new(),
            workers,
            attempted: Some(contents.clone()),
            applied: Some(contents),
            files: loaded.files,
        };
        for prepared in bound {
            control.listen(prepared);
        }
        control.admin.ready.store(true, Ordering::Relaxed);
        let listeners = control.listeners.iter().map(|listener| (listener.config.name.clone(), listener.local));
        let started = Started { listeners: listeners.collect(), admin: admin_address };
        for (name, address) in &started.listeners {
            tracing::info!(listener = %name, %address, "listening");
        }
        if let Some(address) = started.admin {
            tracing::info!(%address, "admin listening");
        }
        Ok((control, started))
    }

    async fn serve(mut self, signals: bool, mut requests: mpsc::UnboundedReceiver<Request>) -> Drained {
        let mut signals = signals
            .then(Signals::new)
            .and_then(|signals| signals.map_err(|error| tracing::error!(%error, "signals can't be handled")).ok());
        let (files_watch, mut files_changed) = Watch::start(self.files.clone(), WatchOptions::default());
        let directory = self.snapshot.config.plugins.directory.clone();
        // Only wasm files: the status files that the registry writes must not wake it.
        let options = WatchOptions { extension: Some("wasm"), ..WatchOptions::default() };
        let (plugins_watch, mut plugins_changed) = Watch::start(directory.into_iter().collect(), options);
        // What changed between the first reading and the start of the watch.
        let _ = self.reload().await;
        self.plugins_changed().await;
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload(reply)) => {
                        let _ = reply.send(self.reload().await);
                        files_watch.set_paths(self.files.clone());
                    }
                    Some(Request::Drain) | None => break,
                },
                // One change can be announced twice, or come with a request to reload: it is tried once.
                Some(()) = files_changed.recv() => {
                    if self.attempted.as_ref() != Some(&fingerprint(&self.files)) {
                        let _ = self.reload().await;
                    }
                    files_watch.set_paths(self.files.clone());
                }
                Some(()) = plugins_changed.recv() => self.plugins_changed().await,
                signal = Signals::next(&mut signals) => match signal {
                    Signal::Drain => break,
                    Signal::Reload => {
                        self.access_log.reopen();
                        let _ = self.reload().await;
                        files_watch.set_paths(self.files.clone());
                    }
                },
            }
        }
        drop((files_watch, plugins_watch));
        self.drain().await
    }

    /// Reads the file and applies it; logs what came of it.
    async fn reload(&mut self) -> Result<(), ApplyError> {
        let result = self.try_reload().await;
        self.attempted = Some(fingerprint(&self.files));
        match &result {
            Ok(true) => {
                self.metrics.reloaded(Reload::Config, true);
                tracing::info!(file = %self.path.display(), "configuration applied");
            }
            Ok(false) => tracing::debug!(file = %self.path.display(), "configuration unchanged"),
            Err(error) => {
                self.metrics.reloaded(Reload::Config, false);
                tracing::error!("the new configuration is refused, the old one stays in force:\n{error}");
            }
        }
        result.map(drop)
    }

    async fn try_reload(&mut self) -> Result<bool, ApplyError> {
        let contents = fingerprint(&self.files);
        if self.applied.as_ref() == Some(&contents) {
            return Ok(false);
        }
        let loaded = config::load(&self.path).map_err(|errors| {
            // The mistake may be mended in one of these.
            self.files = errors.files().to_vec();
            ApplyError::Config(errors)
        })?;
        let mut config = loaded.config;
        let changes = config::diff(&self.snapshot.config, &config);
        if !changes.refused.is_empty() {
            return Err(ApplyError::NeedsRestart(changes.refused.join("\n")));
        }
        for notice in changes.deferred {
            tracing::warn!("{notice}");
        }
        for warning in loaded.warnings {
            tracing::warn!("{warning}");
        }
        Diff::keep(&self.snapshot.config, &mut config);
        let config = Arc::new(config);
        // Everything new first; nothing of the old is touched until all of it is there.
        let plugins = self.apply_plugins(&config, Trigger::Config).await;
        let plugins = plugins.map_err(|problems| ApplyError::Config(plugin_errors(&self.path, &config, &problems)))?;
        let workers = self.workers.len();
        let (mut kept, mut bound, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
        for listener in &config.listeners {
            match self.listeners.iter().find(|active| same_socket(&active.config, listener)) {
                Some(active) => {
                    if let (Some(tls), Some(settings)) = (&active.tls, &listener.tls) {
                        // Loaded twice: here to see that it can be used, below to use it.
                        TlsState::load(settings)?;
                        certificates.push((tls.clone(), settings.clone()));
                    }
                    kept.push((listener.name.clone(), active.local));
                }
                None => bound.push(prepare(listener, workers)?),
            }
        }
        let ports: HashMap<_, _> = kept
            .iter()
            .cloned()
            .chain(bound.iter().map(|one| (one.bound.config.name.clone(), one.bound.local)))
            .map(|(name, address)| (name, address.port()))
            .collect();
        let snapshot = Arc::new(Snapshot::build(config.clone(), plugins, ports, Some(&self.snapshot)).await?);

        for (state, prepared) in certificates {
            state.replace(&prepared)?;
        }
        self.swap(snapshot);
        let removed: Vec<_> = self
            .listeners
            .extract_if(.., |active| !config.listeners.iter().any(|listener| same_socket(&active.config, listener)))
            .collect();
        for active in removed {
            self.tell(|| Command::Unlisten(active.config.name.clone()));
        }
        for prepared in bound {
            tracing::info!(listener = %prepared.bound.config.name, address = %prepared.bound.local, "listening");
            self.listen(prepared);
        }
        self.applied = Some(fingerprint(&loaded.files));
        self.files = loaded.files;
        Ok(true)
    }

    async fn plugins_changed(&mut self) {
        let config = self.snapshot.config.clone();
        match self.apply_plugins(&config, Trigger::Directory).await {
            Ok(plugins) if plugins.is_same(&self.snapshot.plugins) => {}
            Ok(plugins) => {
                let snapshot = Arc::new(self.snapshot.with_plugins(plugins));
                self.swap(snapshot);
                self.metrics.reloaded(Reload::Plugin, true);
            }
            Err(problems) => tracing::error!("{}", plugin_errors(&self.path, &config, &problems)),
        }
    }

    async fn apply_plugins(&mut self, config: &Arc<Config>, trigger: Trigger) -> Result<PluginSet, Vec<PluginProblem>> {
        let Some(registry) = self.registry.take() else { return Ok(self.snapshot.plugins.clone()) };
        let (registry, plugins) = apply_plugins(registry, config.clone(), trigger).await;
        if let Ok(mut description) = self.description.lock() {
            *description = registry.describe();
        }
        self.registry = Some(registry);
        plugins
    }

    fn swap(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
        let snapshot = &self.snapshot;
        self.tell(|| Command::Swap(snapshot.clone()));
    }

    /// Gives each worker its share of a listener.
    fn listen(&mut self, prepared: Prepared) {
        let Prepared { bound, tls, tcp_settings, quic_settings } = prepared;
        let limit = ConnectionLimit::new(bound.config.limits.connections);
        let (mut tcp, mut udp) = (bound.tcp.into_iter(), bound.udp.into_iter());
        for worker in &self.workers {
            let share = WorkerListener {
                config: bound.config.clone(),
                local: bound.local,
                tcp: tcp.next().map(|socket| (socket, tcp_settings.clone())),
                udp: udp.next().zip(quic_settings.clone()),
                limit: limit.clone(),
            };
            let _ = worker.commands.send(Command::Listen(Box::new(share)));
        }
        self.listeners.push(ActiveListener { config: bound.config, local: bound.local, tls });
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that is gone has logged why.
            let _ = worker.commands.send(command());
        }
    }

    /// Waits for the workers' threads, at most so long.
    async fn ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.workers.iter().all(|worker| worker.thread.is_finished());
            if ended || Instant::now() >= deadline {
                return ended;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Readiness fails, listeners close, requests finish; what is left at the limit is cut.
    async fn drain(self) -> Drained {
        let limit = self.snapshot.config.drain_timeout;
        tracing::info!(?limit, "draining");
        self.admin.ready.store(false, Ordering::Relaxed);
        self.tell(|| Command::Drain);
        let clean = self.ended_within(limit).await;
        if clean {
            tracing::info!("drained");
        } else {
            self.tell(|| Command::Cut);
            // For the records of what was cut.
            self.ended_within(CUTTING).await;
            tracing::warn!(?limit, "the drain limit passed; what still ran was cut");
        }
        let _ = self.admin_shutdown.send(true);
        self.access_log.finish();
        if clean { Drained::Clean } else { Drained::TimedOut }
    }
}

/// A listener that is bound and has its certificates, but that nobody serves yet.
struct Prepared {
    bound: BoundListener,
    tls: Option<Arc<TlsState>>,
    tcp_settings: Option<Arc<rustls::ServerConfig>>,
    quic_settings: Option<quinn::ServerConfig>,
}

/// Loads a listener's certificates and binds its sockets.
fn prepare(listener: &Listener, workers: usize) -> Result<Prepared, ApplyError> {
    let tls = listener.tls.as_ref().map(TlsState::load).transpose()?;
    let tcp_settings = tls.as_ref().map(|tls| tls.server_config(listener.http1, listener.http2)).transpose()?;
    let quic = tls.as_ref().filter(|_| listener.http3);
    let quic_settings = quic.map(|tls| tls.quic_config(listener)).transpose()?;
    Ok(Prepared { bound: bind::plan(listener, workers)?, tls, tcp_settings, quic_settings })
}

/// Whether a listener can go on with the sockets that it has.
fn same_socket(old: &Listener, new: &Listener) -> bool {
    let without_certificates = |listener: &Listener| Listener {
        tls: listener.tls.as_ref().map(|tls| ListenerTls {
            certificates: Vec::new(),
            self_signed: Vec::new(),
            ..tls.clone()
        }),
        ..listener.clone()
    };
    without_certificates(old) == without_certificates(new)
}

/// Runs the registry where its compiling blocks nobody.
async fn apply_plugins(
    mut registry: Registry,
    config: Arc<Config>,
    trigger: Trigger,
) -> (Registry, Result<PluginSet, Vec<PluginProblem>>) {
    let task = tokio::task::spawn_blocking(move || {
        let plugins = registry.apply(&config, trigger);
        (registry, plugins)
    });
    match task.await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What plugins say of their configuration, at its place in the file; what is wrong with a file of the directory, at the
/// first place that names the plugin.
fn plugin_errors(file: &Path, config: &Config, problems: &[PluginProblem]) -> ConfigErrors {
    let errors = problems.iter().map(|problem| {
        let first_use = || {
            let mut entries = config.routes.iter().flat_map(|route| &route.plugins);
            entries.find(|entry| *entry.name == *problem.plugin).and_then(|entry| entry.positions.find(""))
        };
        let place = problem.position.or_else(first_use).unwrap_or((1, 1));
        let route = problem.route.as_ref().map(|route| format!(" in route `{route}`")).unwrap_or_default();
        ConfigError::new(file, place, format!("plugin `{}`{route}: {}", problem.plugin, problem.message))
    });
    ConfigErrors::new(errors.collect())
}

/// Where compiled plugins are kept between starts: systemd's cache directory, the user's, or none.
fn cache_directory() -> Option<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("CACHE_DIRECTORY")
        .or_else(|| from("XDG_CACHE_HOME").map(|home| home.join("gateway")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/gateway")))
        .map(|directory| directory.join("plugins"))
}

/// See [`super::check`].
pub(super) fn check(path: &Path) -> Result<Vec<ConfigError>, ApplyError> {
    let loaded = config::load(path).map_err(ApplyError::Config)?;
    for listener in &loaded.config.listeners {
        listener.tls.as_ref().map(TlsState::load).transpose()?;
    }
    let host = Host::new(HostOptions { cache: cache_directory(), ..HostOptions::default() })?;
    let mut registry = Registry::new(host, loaded.config.plugins.directory.clone());
    let checked = registry.apply(&loaded.config, Trigger::Start);
    checked.map_err(|problems| ApplyError::Config(plugin_errors(path, &loaded.config, &problems)))?;
    Ok(loaded.warnings)
}

type Fingerprint = Vec<(PathBuf, Option<Vec<u8>>)>;

/// What is in these files, so that a change of their times alone is no change.
fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let digest = |bytes: Vec<u8>| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref().to_vec();
    files.iter().map(|file| (file.clone(), std::fs::read(file).ok().map(digest))).collect()
}
