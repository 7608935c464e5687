//! What the exporter has fetched, and batches of it.

use std::collections::VecDeque;

use super::item::Item;
use crate::counters::Held;

/// What was handed over at once.
#[derive(Debug)]
pub(super) struct Parcel<T> {
    items: Vec<T>,
    bytes: usize,
}

/// Parcels that wait for their turn.
#[derive(Debug)]
pub(crate) struct Parcels<T> {
    waiting: VecDeque<Parcel<T>>,
    held: Held,
}

/// What goes to the collector in one request.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) items: Vec<T>,
    pub(crate) held: Held,
}

impl<T: Item> Parcels<T> {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), held: Held::default() }
    }

    /// How much waits.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// Takes what lies on a shelf, whose room stays for what comes.
    pub(super) fn add(&mut self, shelf: &mut Vec<Parcel<T>>) {
        for parcel in shelf.drain(..) {
            self.held.items += parcel.items.len();
            self.held.bytes += parcel.bytes;
            self.waiting.push_back(parcel);
        }
    }

    /// The next batch of at most `most`: whole parcels, oldest first. A parcel that is more than a batch is sent in parts,
    /// and a single item that is too large by itself.
    pub(crate) fn take(&mut self, most: Held) -> Batch<T> {
        let mut batch = Batch { items: Vec::new(), held: Held::default() };
        while let Some(parcel) = self.waiting.front_mut() {
            let fits = |items: usize, bytes: usize| {
                batch.held.items + items <= most.items && batch.held.bytes + bytes <= most.bytes
            };
            if fits(parcel.items.len(), parcel.bytes) {
                batch.held.items += parcel.items.len();
                batch.held.bytes += parcel.bytes;
                batch.items.append(&mut parcel.items);
                self.waiting.pop_front();
            } else if batch.items.is_empty() {
                batch = parcel.split(most);
                break;
            } else {
                break;
            }
        }
        self.held.items -= batch.held.items;
        self.held.bytes -= batch.held.bytes;
        batch
    }
}

impl<T: Item> Parcel<T> {
    /// Items whose size was reckoned already.
    pub(super) fn new(items: Vec<T>, bytes: usize) -> Self {
        Self { items, bytes }
    }

    /// Takes the first items off that make a batch; at least one.
    fn split(&mut self, most: Held) -> Batch<T> {
        let mut held = Held::default();
        for item in &self.items {
            let size = item.size();
            let is_full = held.items + 1 > most.items || held.bytes + size > most.bytes;
            if is_full && held.items > 0 {
                break;
            }
            held.items += 1;
            held.bytes += size;
        }
        let rest = self.items.split_off(held.items);
        // Sizes don't change in a queue, and yet nothing here may wrap round.
        held.bytes = if rest.is_empty() { self.bytes } else { held.bytes.min(self.bytes) };
        self.bytes -= held.bytes;
        Batch { items: std::mem::replace(&mut self.items, rest), held }
    }
}
