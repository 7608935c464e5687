//! What a queue takes, and in which order it gives it out.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Item, Parcels, Queue, WaitsFor};
use crate::counters::{Counters, DropReason, Held};

/// An item by its number, of a size.
#[derive(Debug, PartialEq)]
struct Thing(usize, usize);

impl Item for Thing {
    fn size(&self) -> usize {
        self.1
    }
}

const BATCH: Held = Held { items: 4, bytes: 1000 };

fn queue(items: usize, bytes: usize) -> (Arc<Queue<Thing>>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    (Queue::new(Held { items, bytes }, BATCH, counters.clone()), counters)
}

fn things(range: std::ops::Range<usize>) -> Vec<Thing> {
    range.map(|number| Thing(number, 10)).collect()
}

#[test]
fn what_does_not_fit_is_dropped_whole_and_counted_and_room_comes_back() {
    let (queue, counters) = queue(5, 1000);
    let sink = queue.sink();
    assert!(sink.send(things(0..3)));
    assert!(!sink.send(things(3..6)));
    assert!(sink.send(things(6..8)));
    assert_eq!(counters.dropped(DropReason::QueueFull), 3);
    let mut parcels = Parcels::new();
    queue.fetch(&mut parcels);
    let batch = parcels.take(Held { items: 10, bytes: 1000 });
    assert_eq!(batch.items.iter().map(|thing| thing.0).collect::<Vec<_>>(), [0, 1, 2, 6, 7]);
    assert_eq!(counters.queued(), 5, "what is being sent counts until it is");
    counters.release(batch.held);
    assert_eq!((counters.queued(), counters.queued_bytes()), (0, 0));
    assert!(sink.send(things(8..13)));
}

#[test]
fn bytes_are_bounded_as_items_are() {
    let (queue, counters) = queue(100, 25);
    let sink = queue.sink();
    assert!(sink.send(things(0..2)));
    assert!(!sink.send(things(2..3)));
    assert_eq!(counters.dropped(DropReason::QueueFull), 1);
}

#[test]
fn a_closed_queue_takes_nothing_but_gives_what_it_had() {
    let (queue, counters) = queue(100, 1000);
    let sink = queue.sink();
    assert!(sink.send(things(0..2)));
    queue.close();
    assert!(!sink.send(things(2..3)));
    assert_eq!((counters.dropped(DropReason::Shutdown), counters.queued()), (1, 2));
    let mut parcels = Parcels::new();
    queue.fetch(&mut parcels);
    assert_eq!(parcels.held().items, 2);
}

#[test]
fn the_shelf_of_a_worker_that_is_gone_is_emptied_and_forgotten() {
    let (queue, _) = queue(100, 1000);
    let first = queue.sink();
    let second = first.clone();
    second.send(things(0..2));
    drop(second);
    let mut parcels = Parcels::new();
    queue.fetch(&mut parcels);
    assert_eq!(parcels.held().items, 2);
    assert_eq!(queue.shelves.lock().unwrap().len(), 1);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn workers_wake_an_exporter_only_for_what_it_waits_for() {
    let (queue, _) = queue(100, 1000);
    let sink = queue.sink();
    let woken = async || tokio::time::timeout(Duration::from_secs(1), queue.woken()).await.is_ok();
    sink.send(things(0..1));
    assert!(!woken().await, "it was sending");
    queue.wait_for(WaitsFor::FullBatch);
    sink.send(things(1..2));
    assert!(!woken().await, "a batch is more than two");
    sink.send(things(2..4));
    assert!(woken().await, "four make a batch");
    queue.wait_for(WaitsFor::Anything);
    sink.send(things(4..5));
    sink.send(things(5..6));
    assert!(woken().await);
    assert!(!woken().await, "once is enough");
}

proptest! {
    /// Whatever is handed over comes out once and in order, in batches that keep to the limits unless one item is more.
    #[test]
    fn batches_hold_everything_once_in_order(
        parcels in prop::collection::vec(prop::collection::vec(1usize..400, 0..12), 0..20),
    ) {
        let (queue, counters) = queue(usize::MAX / 2, usize::MAX / 2);
        let sink = queue.sink();
        let mut number = 0;
        for sizes in parcels {
            sink.send(sizes.into_iter().map(|size| { number += 1; Thing(number, size) }).collect());
        }
        let mut waiting = Parcels::new();
        queue.fetch(&mut waiting);
        let (mut seen, most) = (0, Held { items: 4, bytes: 500 });
        while waiting.held() != Held::default() {
            let batch = waiting.take(most);
            prop_assert!(!batch.items.is_empty());
            prop_assert!(batch.items.len() <= most.items);
            prop_assert!(batch.held.bytes <= most.bytes || batch.items.len() == 1);
            prop_assert_eq!(batch.held.bytes, batch.items.iter().map(Item::size).sum::<usize>());
            for item in &batch.items {
                seen += 1;
                prop_assert_eq!(item.0, seen);
            }
            counters.release(batch.held);
        }
        prop_assert_eq!((seen, counters.queued(), counters.queued_bytes()), (number, 0, 0));
    }
}
