//! The way from the workers to the task that exports: a shelf for each worker, and one bound over all of them.
//!
//! A worker that hands over an exchange's spans takes a lock that nobody else wants (the exporter comes by once a batch) and
//! counts what it adds. It wakes the exporter's thread only where that waits for nothing else: for the first item after a
//! pause, and for the one that fills a batch.
//!
//! What does not fit is dropped where it comes in, so the newest goes. Those that wait stay: that costs a worker one look at
//! a counter, throws nothing away that was worked on, and keeps what was handed over together (an exchange's spans)
//! together. OpenTelemetry's own batch processor does the same.

mod item;
mod parcels;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::counters::{Counters, DropReason, Held};
pub use item::Item;
use parcels::Parcel;
pub(crate) use parcels::{Batch, Parcels};

/// Where a worker hands items over. A clone is for another worker: it has a shelf of its own.
#[derive(Debug)]
pub struct Sink<T> {
    queue: Arc<Queue<T>>,
    shelf: Arc<Shelf<T>>,
}

impl<T: Item> Sink<T> {
    /// Hands over what belongs together, and says whether there was room for it. Never waits; what does not fit is dropped
    /// and counted.
    pub fn send(&self, items: Vec<T>) -> bool {
        if items.is_empty() {
            return true;
        }
        let added = Held { items: items.len(), bytes: items.iter().map(T::size).sum() };
        let Some(held) = self.queue.counters.reserve(added, self.queue.limits) else {
            return self.dropped(added, DropReason::QueueFull);
        };
        let mut parcels = lock(&self.shelf.parcels);
        // Under the lock: whoever closes the queue comes by afterwards, and finds what was let in before.
        if self.queue.closed.load(Relaxed) {
            drop(parcels);
            self.queue.counters.release(added);
            return self.dropped(added, DropReason::Shutdown);
        }
        parcels.push(Parcel::new(items, added.bytes));
        drop(parcels);
        self.queue.wake(held);
        true
    }

    fn dropped(&self, held: Held, reason: DropReason) -> bool {
        self.queue.counters.add_dropped(reason, held.items as u64);
        false
    }
}

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        Self { shelf: self.queue.shelf(), queue: self.queue.clone() }
    }
}

/// The parcels of one worker that nobody has fetched.
#[derive(Debug)]
struct Shelf<T> {
    parcels: Mutex<Vec<Parcel<T>>>,
}

/// What sinks and exporter share.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    shelves: Mutex<Vec<Arc<Shelf<T>>>>,
    counters: Arc<Counters>,
    limits: Held,
    batch: Held,
    waits_for: AtomicU8,
    woken: Notify,
    closed: AtomicBool,
}

/// What the exporter waits for.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum WaitsFor {
    /// Nothing that a worker does: it is sending.
    Nothing,
    /// Anything at all.
    Anything,
    /// A full batch.
    FullBatch,
}

impl<T: Item> Queue<T> {
    /// A queue that holds up to `limits`, what is being sent included, for an exporter that sends up to `batch` at a time.
    pub(crate) fn new(limits: Held, batch: Held, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            shelves: Mutex::default(),
            counters,
            limits,
            batch,
            waits_for: AtomicU8::new(WaitsFor::Nothing as u8),
            woken: Notify::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// A sink with a shelf of its own.
    pub(crate) fn sink(self: &Arc<Self>) -> Sink<T> {
        Sink { shelf: self.shelf(), queue: self.clone() }
    }

    /// Announces what [`Self::woken`] is to wait for. What was handed over before has to be fetched after this: a worker
    /// that came too early to see it has put its parcel on the shelf by then.
    pub(crate) fn wait_for(&self, what: WaitsFor) {
        self.waits_for.store(what as u8, Relaxed);
    }

    /// Waits for what was announced.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Lets nothing in any more. What was let in before can be fetched.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Moves what lies on the shelves to `parcels`, and forgets the shelves of workers that are gone.
    pub(crate) fn fetch(&self, parcels: &mut Parcels<T>) {
        let mut shelves = lock(&self.shelves);
        shelves.retain(|shelf| {
            // Looked at first: a worker that is gone adds nothing afterwards.
            let is_used = Arc::strong_count(shelf) > 1;
            parcels.add(&mut lock(&shelf.parcels));
            is_used
        });
    }

    fn wake(&self, held: Held) {
        let waits_for = self.waits_for.load(Relaxed);
        let is_full = held.items >= self.batch.items || held.bytes >= self.batch.bytes;
        let wanted = waits_for == WaitsFor::Anything as u8 || (waits_for == WaitsFor::FullBatch as u8 && is_full);
        if wanted && self.waits_for.swap(WaitsFor::Nothing as u8, Relaxed) == waits_for {
            self.woken.notify_one();
        }
    }
}

impl<T> Queue<T> {
    fn shelf(&self) -> Arc<Shelf<T>> {
        let shelf = Arc::new(Shelf { parcels: Mutex::default() });
        lock(&self.shelves).push(shelf.clone());
        shelf
    }
}

/// Nothing that holds these locks can panic halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
