//! What the gateway uses: a collector, and exports to it that run until they are told to finish.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::counters::{Counters, Held};
use crate::delivery::Delivery;
use crate::endpoint::InvalidEndpoint;
use crate::export::{Encode, ExportTask};
use crate::model::{LogRecord, Metric, Resource, Scope, Span};
use crate::push::PushTask;
use crate::queue::{Item, Parcels, Queue, Sink};
use crate::settings::{Protocol, QueueSettings, Settings};
use crate::stop::{Stopper, stop};
use crate::transport::{InvalidTls, Route, Signal};
use crate::{otlp, zipkin};

/// Where telemetry comes from: the process, and the part of it that makes telemetry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The process.
    pub resource: Resource,
    /// The part.
    pub scope: Scope,
}

/// A collector that can be exported to. Each export has a connection of its own.
#[derive(Clone, Debug)]
pub struct Collector {
    route: Route,
}

/// Why nothing can be exported by these settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// The endpoint does not fit the protocol.
    #[error("the endpoint can't be used: {0}")]
    Endpoint(#[from] InvalidEndpoint),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] InvalidTls),
    /// Zipkin knows nothing but spans.
    #[error("Zipkin takes spans only; export {0} by OTLP")]
    SpansOnly(&'static str),
}

impl Collector {
    /// A collector by what an operator says of it. Nothing is connected before there is something to send.
    pub fn new(settings: Settings) -> Result<Self, InvalidSettings> {
        let path = settings.endpoint.path();
        let signals = [Signal::Traces, Signal::Logs, Signal::Metrics];
        match settings.protocol {
            Protocol::OtlpHttp => {
                if let Some(signal) = signals.iter().find(|signal| path.ends_with(signal.path())) {
                    return Err(InvalidEndpoint::SignalPath(signal.path()).into());
                }
            }
            Protocol::OtlpGrpc if !path.is_empty() => return Err(InvalidEndpoint::PathOfGrpc.into()),
            Protocol::OtlpGrpc | Protocol::Zipkin => {}
        }
        Ok(Self { route: Route::new(Arc::new(settings))? })
    }

    /// Exports spans, by a task of `runtime`.
    pub fn spans(&self, source: Source, queue: QueueSettings, runtime: &Handle) -> Export<Span> {
        let encode: Encode<Span> = match self.route.settings().protocol {
            Protocol::OtlpHttp | Protocol::OtlpGrpc => {
                let origin = otlp::Origin::new(&source.resource, &source.scope);
                Box::new(move |spans| otlp::traces(&origin, spans))
            }
            Protocol::Zipkin => {
                let origin = zipkin::Origin::new(&source.resource, &source.scope);
                Box::new(move |spans| zipkin::spans(&origin, &spans))
            }
        };
        self.export(Signal::Traces, encode, queue, runtime)
    }

    /// Exports log records, by a task of `runtime`.
    pub fn logs(
        &self,
        source: Source,
        queue: QueueSettings,
        runtime: &Handle,
    ) -> Result<Export<LogRecord>, InvalidSettings> {
        self.has(Signal::Logs)?;
        let origin = otlp::Origin::new(&source.resource, &source.scope);
        Ok(self.export(Signal::Logs, Box::new(move |records| otlp::logs(&origin, records)), queue, runtime))
    }

    /// Pushes what `read` returns, each time `interval` has passed, by a task of `runtime`.
    pub fn metrics(
        &self,
        source: Source,
        interval: Duration,
        read: impl FnMut() -> Vec<Metric> + Send + 'static,
        runtime: &Handle,
    ) -> Result<Push, InvalidSettings> {
        self.has(Signal::Metrics)?;
        let origin = otlp::Origin::new(&source.resource, &source.scope);
        let counters = Arc::new(Counters::default());
        let (stopper, stop) = stop();
        let (route, counted) = (self.route.clone(), counters.clone());
        let task = runtime.spawn(async move {
            let delivery = Delivery::new(route, Signal::Metrics, counted, stop);
            let encode = Box::new(move |metrics| otlp::metrics(&origin, metrics));
            // No interval at all would leave no time for anything else.
            let interval = interval.max(Duration::from_millis(10));
            PushTask { delivery, interval, read: Box::new(read), encode }.run().await;
        });
        Ok(Push { counters, running: Running { stopper, task } })
    }

    fn has(&self, signal: Signal) -> Result<(), InvalidSettings> {
        match self.route.settings().protocol {
            Protocol::OtlpHttp | Protocol::OtlpGrpc => Ok(()),
            Protocol::Zipkin => Err(InvalidSettings::SpansOnly(signal.items())),
        }
    }

    fn export<T: Item>(
        &self,
        signal: Signal,
        encode: Encode<T>,
        settings: QueueSettings,
        runtime: &Handle,
    ) -> Export<T> {
        let counters = Arc::new(Counters::default());
        let limits = Held { items: settings.max_items, bytes: settings.max_bytes };
        // A batch that the queue can't hold would never be full.
        let batch = Held {
            items: settings.batch_items.clamp(1, settings.max_items.max(1)),
            bytes: settings.batch_bytes.clamp(1, settings.max_bytes.max(1)),
        };
        let queue = Queue::new(limits, batch, counters.clone());
        let (stopper, stop) = stop();
        let (route, shared, counted) = (self.route.clone(), queue.clone(), counters.clone());
        let task = runtime.spawn(async move {
            let delivery = Delivery::new(route, signal, counted.clone(), stop);
            let parcels = Parcels::new();
            let max_delay = settings.max_delay;
            ExportTask { queue: shared, parcels, counters: counted, delivery, encode, batch, max_delay }.run().await;
        });
        Export { queue, counters, running: Running { stopper, task } }
    }
}

/// An export of spans or log records. Ends at once when dropped: what waits is counted as dropped then.
#[derive(Debug)]
pub struct Export<T> {
    queue: Arc<Queue<T>>,
    counters: Arc<Counters>,
    running: Running,
}

impl<T: Item> Export<T> {
    /// Where a worker hands over what it made. Each worker has one of its own.
    pub fn sink(&self) -> Sink<T> {
        self.queue.sink()
    }

    /// What became of what was handed over.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Takes no more, sends what waits, and returns when that is done or the time is over.
    pub async fn finish(self, within: Duration) {
        self.running.finish(within).await;
    }
}

/// A push of metrics. Ends at once when dropped.
#[derive(Debug)]
pub struct Push {
    counters: Arc<Counters>,
    running: Running,
}

impl Push {
    /// What became of the metrics that were read, by points.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Sends the last state, and returns when that is done or the time is over.
    pub async fn finish(self, within: Duration) {
        self.running.finish(within).await;
    }
}

/// A task that ends when it is told to.
#[derive(Debug)]
struct Running {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Running {
    async fn finish(self, within: Duration) {
        self.stopper.stop(within);
        // What it panicked with may be anything.
        if self.task.await.is_err() {
            tracing::error!("a task that exports telemetry failed");
        }
    }
}
