//! Cells of the same thing, over all workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use super::Shard;
use super::cells::Counter;
use super::custom::lock;

/// All workers' cells by name.
pub(super) type Grouped<K, T> = BTreeMap<K, Vec<Arc<T>>>;

pub(super) fn group<K: Clone + Ord, T>(
    shards: &[Arc<Shard>],
    cells: impl Fn(&Shard) -> &Mutex<HashMap<K, Arc<T>>>,
) -> Grouped<K, T> {
    let mut grouped = Grouped::new();
    for shard in shards {
        for (name, cell) in lock(cells(shard)).iter() {
            grouped.entry(name.clone()).or_default().push(Arc::clone(cell));
        }
    }
    grouped
}

pub(super) fn sum<T>(cells: &[Arc<T>], counter: impl Fn(&T) -> &Counter) -> u64 {
    cells.iter().map(|cell| counter(cell).value()).sum()
}
