//! A worker's side: each exchange goes to the logs that are to have it. It never waits.

use std::time::SystemTime;

use super::filter;
use super::outlet::Outlet;
use super::target::Target;
use crate::exchange::Exchange;
use crate::model::{AccessLog as Config, LogSelection, RouteLog};

/// The access logs of one worker. Dropping them hands over what is left.
#[derive(Debug)]
pub struct WorkerLog {
    outlets: Vec<(LogSelection, Outlet)>,
}

impl WorkerLog {
    /// The logs of a configuration, with their targets in the same order.
    pub fn new(logs: &[Config], targets: &[Target]) -> Self {
        Self { outlets: outlets(logs, targets) }
    }

    /// Follows a new configuration and its targets. What is in the buffers still goes to the old ones.
    pub fn reconfigure(&mut self, logs: &[Config], targets: &[Target]) {
        self.flush();
        self.outlets = outlets(logs, targets);
    }

    /// Notes a finished exchange, of a route that says this of logs. Never waits.
    pub fn record(&mut self, exchange: &Exchange, route: Option<&RouteLog>) {
        let mut started = None;
        for (selection, outlet) in &mut self.outlets {
            if filter::has(selection, route, exchange) {
                let started = *started.get_or_insert_with(|| {
                    let now = SystemTime::now();
                    now.checked_sub(exchange.started.elapsed()).unwrap_or(now)
                });
                outlet.record(exchange, started);
            }
        }
    }

    /// Hands over what is there. Never waits; a worker calls it with every sweep.
    pub fn flush(&mut self) {
        self.outlets.iter_mut().for_each(|(_, outlet)| outlet.flush());
    }

    #[cfg(test)]
    pub(super) fn holds_nothing(&self) -> bool {
        self.outlets.iter().all(|(_, outlet)| outlet.holds_nothing())
    }
}

fn outlets(logs: &[Config], targets: &[Target]) -> Vec<(LogSelection, Outlet)> {
    let outlet = |(log, target): (&Config, &Target)| (log.selection.clone(), Outlet::new(log, target));
    logs.iter().zip(targets).map(outlet).collect()
}
