//! What the process may hold in memory on behalf of clients and upstreams, as two budgets: bytes of bodies, and the memories
//! of plugins' guests.
//!
//! Whoever is about to hold much takes it from a [`Budget`] first and waits a moment where there is nothing left. What
//! passes through a worker in small pieces is counted by the worker's [`Credit`], which takes from the budget in batches,
//! so that requests which hold nothing write to nothing that workers share.

mod budget;
mod credit;
mod machine;

use std::sync::Arc;

pub use budget::{Budget, Exhausted, Hold};
pub use credit::{Credit, Held, ReceiveWindow, Unread};

use crate::model::Limits;

/// The share of the machine's memory that each budget has where the configuration does not say: a quarter.
const SHARE: u64 = 4;
/// What is reckoned with where the machine does not say how much memory it has.
const UNKNOWN: u64 = 1 << 30;

/// What compiling plugins has at least, of which the compiler itself needs half.
const LEAST_TO_COMPILE: u64 = 256 << 20;

/// Bytes that the processes which compile plugins may have together: a share of the memory that this one may use, because
/// they are in the same control group, and where that runs out its whole service may be ended.
pub fn to_compile() -> u64 {
    share_to_compile(machine::memory())
}

fn share_to_compile(machine: Option<u64>) -> u64 {
    (machine.unwrap_or(UNKNOWN) / SHARE).max(LEAST_TO_COMPILE)
}

/// The budgets of the process.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bodies: `limits.body_memory`.
    pub bodies: Arc<Budget>,
    /// Linear memories of plugins' instances: `limits.plugin_memory`.
    pub guests: Arc<Budget>,
    /// Bytes of each where the configuration says nothing. Found out once: what changes a limit reads no files.
    share: u64,
}

impl Memory {
    /// Budgets as the configuration says, or a share of the memory that this process may use.
    pub fn new(limits: &Limits) -> Self {
        let share = machine::memory().unwrap_or(UNKNOWN) / SHARE;
        let memory = Self { bodies: Budget::new(0), guests: Budget::new(0), share };
        memory.follow(limits);
        memory
    }

    /// Changes the limits. What is held stays, also where it is more than the new limit.
    pub fn follow(&self, limits: &Limits) {
        let bytes = |set: Option<u64>| usize::try_from(set.unwrap_or(self.share)).unwrap_or(usize::MAX);
        self.bodies.set_limit(bytes(limits.body_memory));
        self.guests.set_limit(bytes(limits.plugin_memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilations_have_a_quarter_of_the_machine_and_never_too_little_for_any() {
        for (machine, share) in [(16 << 30, 4 << 30), (2 << 30, 512 << 20), (512 << 20, 256 << 20)] {
            assert_eq!(share_to_compile(Some(machine)), share, "{machine}");
        }
        assert_eq!(share_to_compile(None), 256 << 20);
    }
}
