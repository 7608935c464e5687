//! The task that reads metrics at an interval and sends them.

use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::{Delivery, Patience};
use crate::model::Metric;

/// What metrics are at a moment. Called on the exporter's thread.
pub(crate) type Read = Box<dyn FnMut() -> Vec<Metric> + Send>;

/// The task.
pub(crate) struct PushTask {
    pub(crate) delivery: Delivery,
    pub(crate) interval: Duration,
    pub(crate) read: Read,
    pub(crate) encode: Box<dyn Fn(Vec<Metric>) -> Vec<u8> + Send>,
}

impl PushTask {
    /// Runs until the end was asked for, and sends the last state then.
    ///
    /// The first push comes after a random part of the interval, so that gateways that were started together don't push
    /// together. A state that could not be sent before the next is due is dropped: the next has all that was in it.
    pub(crate) async fn run(mut self) {
        let mut due = Instant::now() + self.interval.mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                _ = self.delivery.stop().asked() => {}
            }
            let is_last = self.delivery.stop().deadline().is_some();
            let now = Instant::now();
            while due <= now {
                due += self.interval;
            }
            let metrics = (self.read)();
            let points: usize = metrics.iter().map(|metric| metric.data.points()).sum();
            if points > 0 {
                self.delivery.deliver((self.encode)(metrics), points as u64, Patience::Until(due)).await;
            }
            if is_last {
                return self.delivery.conclude();
            }
        }
    }
}
