//! The start: everything is made in the order in which it depends on each other, and nothing serves before all is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::control::Control;
use super::error::ApplyError;
use super::listeners::Listeners;
use super::prepare::{self, ListenerCertificates, Parts, Tried};
use super::push::MetricsPush;
use super::workers::Workers;
use super::{access_logs, exports, surroundings, trail};
use crate::access_log::{AccessLog, WorkerLog};
use crate::admin::{self, AdminState};
use crate::config::{self, Loaded, SocketChanges};
use crate::listener::fdlimit;
use crate::memory::Memory;
use crate::model::Config;
use crate::plugin::stored::StoredResponses;
use crate::plugin::{self, Compiler, Host, HostOptions, Registry};
use crate::snapshot::Snapshot;
use crate::state::{NamespaceLimits, State};
use crate::telemetry::log::ErrorLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::plugin_sink::PluginSink;
use crate::worker::WorkerParts;

/// What `Gateway::start` waits for.
pub(super) struct Started {
    pub(super) listeners: Vec<(Arc<str>, SocketAddr)>,
    pub(super) admin: Option<SocketAddr>,
}

/// Starts everything that a configuration names.
pub(super) async fn start(path: &Path, compiler: Compiler) -> Result<(Control, Started), ApplyError> {
    let Loaded { config, contents, places, warnings } = config::load(path).map_err(ApplyError::Config)?;
    let config = Arc::new(config);
    // Only the first gateway of a process (there are several in tests) has the log.
    let log = ErrorLog::start(&config.log).ok();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    surroundings::tell(&config, fdlimit::raise());
    let metrics = Metrics::new(&config.metrics);
    let memory = Memory::new(&config.limits);
    let state = state(&config);
    let stored = Arc::new(StoredResponses::new(config.state.stored_responses).counted(memory.bodies.clone()));
    let host = plugin_host(&config, compiler, &state, &metrics, &memory)?;
    let mut registry = Arc::new(Registry::new(host));
    let Tried { findings, parts } = prepare::prepare(path, &config, &places, registry.clone(), None).await;
    let Parts { plugins, upstreams, certificates, metrics_collector, spans, logs } =
        parts.map_err(|unready| ApplyError::Config(unready.errors()))?;

    let mut listeners = Listeners::default();
    let plan = listeners.plan(&config, &SocketChanges::default(), &certificates, config.workers)?;
    let access_log = AccessLog::new(metrics.access_log_dropped.clone());
    let targets = access_logs::open(&access_log, path, &config, &places, &logs, None)?;
    let snapshot = Snapshot::new(config.clone(), plugins.plugins.clone(), upstreams, plan.ports(), targets.clone());
    let trail = trail::open(path, &config, places.audit(), None).await?;
    let snapshot = Arc::new(snapshot.with_spans(spans).audited(trail));
    show(&metrics, &memory, &snapshot, &certificates);
    // The first random number of a process costs some 50 ms, in which the entropy source is set up: not in a request's
    // time, and not in a handshake's. Where there are none, whoever needs one says so.
    let _ = aws_lc_rs::rand::fill(&mut [0; 1]);
    let mut workers = Workers::default();
    for _ in 0..config.workers {
        workers.start(|commands| WorkerParts {
            snapshot: snapshot.clone(),
            stored: stored.clone(),
            memory: memory.bodies.clone(),
            metrics: metrics.clone(),
            access_log: WorkerLog::new(&config.access_log, &targets),
            instances: registry.instances_per_worker(),
            commands,
        })?;
    }
    let AdminListener { state: admin, description, shutdown: admin_shutdown, address } =
        serve_admin(&config, metrics.clone()).await?;

    // From here on nothing can fail.
    let started = Started { listeners: plan.addresses(), admin: address };
    let registry_now = Arc::make_mut(&mut registry);
    registry_now.learn(findings);
    registry_now.commit(plugins);
    listeners.apply(plan, &workers);
    if let Some(address) = started.admin {
        tracing::info!(%address, "admin listening");
    }
    let push = MetricsPush::start(&config, metrics_collector.as_ref(), &metrics);
    let control = Control {
        path: path.to_owned(),
        snapshot,
        registry,
        metrics,
        push,
        memory,
        state,
        access_log,
        log,
        admin,
        description,
        admin_shutdown,
        listeners,
        workers,
        attempted: contents.clone(),
        applied: contents,
        refused_plugins: BTreeSet::new(),
        told_heads: BTreeSet::new(),
        refused_for_now: false,
    };
    control.show_plugins();
    control.show_config();
    Ok((control, started))
}

/// Has metrics show what is in force.
fn show(metrics: &Metrics, memory: &Memory, snapshot: &Snapshot, certificates: &ListenerCertificates) {
    metrics.show_memory(memory.clone());
    metrics.show_endpoints(snapshot.endpoint_health());
    metrics.certificates_in_force(prepare::expiries(certificates));
    exports::show(snapshot, metrics);
}

/// Where plugins keep what they remember.
fn state(config: &Config) -> State {
    State::in_memory(NamespaceLimits {
        entries: config.state.max_entries,
        bytes: config.state.max_bytes,
        ..NamespaceLimits::default()
    })
}

/// The plugin host; its engine runs where there are plugins at all.
fn plugin_host(
    config: &Config,
    compiler: Compiler,
    state: &State,
    metrics: &Arc<Metrics>,
    memory: &Memory,
) -> Result<Arc<Host>, ApplyError> {
    let entries = config.routes.iter().map(|route| route.plugins.len()).sum();
    let host = Host::new(HostOptions {
        compiler: Some(compiler),
        cache: prepare::cache_directory(),
        makes_cache: true,
        workers: u32::try_from(config.workers).unwrap_or(u32::MAX),
        instances_per_worker: plugin::instances_per_worker(config.workers, entries),
        state: state.clone(),
        metrics: Arc::new(PluginSink::new(metrics.clone())),
        memory: memory.guests.clone(),
    });
    if entries > 0 {
        host.start()?;
    }
    Ok(host)
}

/// The admin listener's parts, also where it is switched off.
struct AdminListener {
    state: Arc<AdminState>,
    /// What it shows of plugins.
    description: Arc<Mutex<serde_json::Value>>,
    shutdown: watch::Sender<bool>,
    address: Option<SocketAddr>,
}

async fn serve_admin(config: &Config, metrics: Arc<Metrics>) -> Result<AdminListener, ApplyError> {
    let description = Arc::new(Mutex::new(serde_json::Value::Null));
    let shown = description.clone();
    let state = Arc::new(AdminState {
        // Nobody can ask before the listeners accept: the admin task runs when the start is done.
        ready: AtomicBool::new(true),
        metrics: metrics.clone(),
        plugins: Box::new(move || {
            let mut plugins = shown.lock().map(|shown| shown.clone()).unwrap_or_default();
            for plugin in plugins.as_array_mut().into_iter().flatten() {
                plugin["costs"] = metrics.plugin_costs(plugin["name"].as_str().unwrap_or_default());
            }
            plugins
        }),
    });
    let (shutdown, mut ending) = watch::channel(false);
    let mut address = None;
    if let Some(settings) = &config.admin {
        let listener = tokio::net::TcpListener::bind(settings.address)
            .await
            .map_err(ApplyError::system(format!("binding the admin address {}", settings.address)))?;
        address = listener.local_addr().ok();
        let ended = async move {
            let _ = ending.wait_for(|ended| *ended).await;
        };
        tokio::spawn(admin::serve(listener, state.clone(), ended));
    }
    Ok(AdminListener { state, description, shutdown, address })
}
