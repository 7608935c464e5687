//! The task that sends what workers hand over: waits for a batch, encodes it, has it delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::counters::{Counters, Held};
use crate::delivery::{Delivery, Patience};
use crate::queue::{Batch, Item, Parcels, Queue, WaitsFor};

/// Makes the body of a request.
pub(crate) type Encode<T> = Box<dyn Fn(Vec<T>) -> Vec<u8> + Send>;

/// The task. One request is under way at a time: what comes back is never a crowd, and the order is kept.
pub(crate) struct ExportTask<T> {
    pub(crate) queue: Arc<Queue<T>>,
    pub(crate) parcels: Parcels<T>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) delivery: Delivery,
    pub(crate) encode: Encode<T>,
    pub(crate) batch: Held,
    pub(crate) max_delay: Duration,
}

impl<T: Item> ExportTask<T> {
    /// Runs until the end was asked for and nothing is left, or no time.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.next().await {
            let items = batch.items.len() as u64;
            if self.delivery.stop().is_over() {
                self.delivery.leave(items);
            } else {
                let patience = Patience::AfterFirstTry(self.delivery.give_up_after());
                self.delivery.deliver((self.encode)(batch.items), items, patience).await;
            }
            self.counters.release(batch.held);
        }
        self.delivery.conclude();
    }

    /// The next batch: a full one, or what there is when the first of it has waited long enough. None at the end.
    async fn next(&mut self) -> Option<Batch<T>> {
        let mut due = None;
        loop {
            let is_last = self.delivery.stop().deadline().is_some();
            if is_last {
                self.queue.close();
            }
            let had_any = self.parcels.held().items > 0;
            self.queue.wait_for(if had_any { WaitsFor::FullBatch } else { WaitsFor::Anything });
            self.queue.fetch(&mut self.parcels);
            let held = self.parcels.held();
            let is_full = held.items >= self.batch.items || held.bytes >= self.batch.bytes;
            let is_due = due.is_some_and(|due| due <= Instant::now());
            if held.items > 0 && (is_full || is_due || is_last) {
                self.queue.wait_for(WaitsFor::Nothing);
                return Some(self.parcels.take(self.batch));
            }
            if is_last {
                return None;
            }
            let stop = self.delivery.stop();
            if held.items == 0 {
                tokio::select! {
                    () = self.queue.woken() => {}
                    _ = stop.asked() => {}
                }
            } else {
                let due = *due.get_or_insert_with(|| Instant::now() + self.max_delay);
                if had_any {
                    tokio::select! {
                        () = self.queue.woken() => {}
                        () = tokio::time::sleep_until(due) => {}
                        _ = stop.asked() => {}
                    }
                }
            }
        }
    }
}
