//! Metrics on their way to a collector, beside the page of the admin listener.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use telemetry_export::{Collector, Push};
use tokio::runtime::Handle;

use crate::model::Config;
use crate::telemetry::collector::{self, InvalidCollector};
use crate::telemetry::metrics::{Metrics, Signal};

/// How long the last push may take: a collector that is away must not hold up an end.
const LAST: Duration = Duration::from_secs(2);

/// The collector of a configuration, where it names one.
pub(super) fn collector(config: &Config) -> Result<Option<Collector>, InvalidCollector> {
    let export = config.metrics.export.as_ref();
    export.map(|export| collector::collector(&export.collector, &config.secrets)).transpose()
}

/// The push that runs, if one does.
pub(super) struct MetricsPush(Option<Push>);

impl MetricsPush {
    /// Pushes to this collector, in tasks of this runtime, if the configuration says so.
    pub(super) fn start(config: &Config, collector: Option<&Collector>, metrics: &Arc<Metrics>) -> Self {
        let (Some(export), Some(collector)) = (&config.metrics.export, collector) else { return Self(None) };
        let page = metrics.clone();
        let read = move || page.page().metrics(SystemTime::now());
        match collector.metrics(collector::source(metrics.instance()), export.interval, read, &Handle::current()) {
            Ok(push) => {
                metrics.show_export(Signal::Metrics, push.counters().clone());
                Self(Some(push))
            }
            // The configuration has no other way to say where metrics go than by OTLP.
            Err(error) => {
                tracing::error!(%error, "metrics can't be exported");
                Self(None)
            }
        }
    }

    /// Pushes as a new configuration says. Where the numbers went before, they are sent a last time.
    pub(super) fn follow(&mut self, config: &Config, collector: Option<&Collector>, metrics: &Arc<Metrics>) {
        let old = std::mem::replace(self, Self::start(config, collector, metrics));
        tokio::spawn(old.finish());
    }

    /// Sends the last numbers.
    pub(super) async fn finish(self) {
        if let Some(push) = self.0 {
            push.finish(LAST).await;
        }
    }
}
