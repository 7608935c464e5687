//! Exports of spans and of access-log records as configurations come and go. What workers have given to one by then, or give to
//! it until they follow, is still sent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use telemetry_export::Item;

use crate::access_log::Target;
use crate::snapshot::Snapshot;
use crate::telemetry::export::{LogExport, SharedExport};
use crate::telemetry::metrics::{Metrics, Signal};

/// How long workers may take until they follow another configuration: each hands over what it has with every sweep.
const FOLLOWING: Duration = Duration::from_secs(2);
/// How long sending what is left may take.
const FLUSHING: Duration = Duration::from_secs(5);

/// The exports of the access logs of a configuration in force.
pub(super) fn of_logs(snapshot: &Snapshot) -> Vec<Arc<LogExport>> {
    let of = |target: &Target| match target {
        Target::Collector(export) => Some(export.clone()),
        Target::Writer(_) => None,
    };
    snapshot.log_targets.iter().filter_map(of).collect()
}

/// Has metrics show what becomes of what these exports are given.
pub(super) fn show(snapshot: &Snapshot, metrics: &Metrics) {
    snapshot.spans.iter().for_each(|spans| metrics.show_export(Signal::Traces, spans.counters()));
    of_logs(snapshot).iter().for_each(|logs| metrics.show_export(Signal::Logs, logs.counters()));
}

/// Ends those of `old` that `new`, which comes into force, does not have, once workers have followed.
pub(super) fn leave(old: &Snapshot, new: &Snapshot) {
    leave_all(old.spans.iter().cloned(), new.spans.as_slice());
    leave_all(of_logs(old), &of_logs(new));
}

fn leave_all<T: Item + Send + 'static>(
    old: impl IntoIterator<Item = Arc<SharedExport<T>>>,
    new: &[Arc<SharedExport<T>>],
) {
    for old in old.into_iter().filter(|old| !new.iter().any(|new| Arc::ptr_eq(old, new))) {
        tokio::spawn(async move {
            tokio::time::sleep(FOLLOWING).await;
            old.finish(FLUSHING).await;
        });
    }
}

/// Sends what is left, when nobody makes more, for at most so long.
pub(super) async fn finish(snapshot: &Snapshot, within: Duration) {
    let within = FLUSHING.min(within);
    let logs = of_logs(snapshot);
    let spans = snapshot.spans.iter().map(|spans| spans.finish(within));
    tokio::join!(join_all(spans), join_all(logs.iter().map(|logs| logs.finish(within))));
}
