//! How the pools of one worker share the instances that it may have.
//!
//! Every pool is sure of room for one instance: what a pool without any would need is kept free, so that no plugin can
//! take what another one's first instance needs. Never more than half of all is kept: pools may be as many as instances,
//! most of them without a request, and a first instance may also take the place of an idle last one. Beyond that whoever
//! comes first is served, and idle instances of others go before anybody is refused. One thread, no lock; no time and no I/O.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// A pool, as its budget sees it.
pub(super) trait Tenant {
    /// What one of its instances takes of the budget.
    fn weight(&self) -> usize;
    /// Its instances: idle, lent, or being made.
    fn live(&self) -> usize;
    /// How many of them are idle.
    fn idle(&self) -> usize;
    /// Whether it serves only what it had begun to.
    fn is_retired(&self) -> bool;
    /// Drops an idle instance, and releases what it took.
    fn evict(&self);
    /// There may be room now for what it was refused.
    fn retry(self: Rc<Self>);
}

/// See the module.
pub(super) struct InstanceBudget {
    total: usize,
    used: Cell<usize>,
    tenants: RefCell<Vec<Weak<dyn Tenant>>>,
    /// Whoever was refused and waits.
    waiting: RefCell<VecDeque<Weak<dyn Tenant>>>,
    closed: Cell<bool>,
}

impl InstanceBudget {
    /// Room for instances whose weights sum up to `total`.
    pub(super) fn new(total: usize) -> Rc<Self> {
        Rc::new(Self {
            total,
            used: Cell::new(0),
            tenants: RefCell::default(),
            waiting: RefCell::default(),
            closed: Cell::new(false),
        })
    }

    /// Gives nothing out any more: the worker ends.
    pub(super) fn close(&self) {
        self.closed.set(true);
    }

    /// Takes part from now on, with a share of its own.
    pub(super) fn join(&self, tenant: Weak<dyn Tenant>) {
        self.tenants.borrow_mut().push(tenant);
    }

    /// Takes the room for one instance, after dropping idle ones of others where it must; `false` = there is none, and
    /// `retry` is called once there may be.
    pub(super) fn acquire(&self, asking: &Rc<impl Tenant + 'static>) -> bool {
        if self.closed.get() {
            return false;
        }
        let weight = asking.weight();
        let others = self.others(&**asking);
        let first = asking.live() == 0 && !asking.is_retired();
        // The first one comes out of the pool's own share; any other has to leave the shares of the rest alone.
        let kept = |others: &[Rc<dyn Tenant>]| -> usize {
            if first {
                return 0;
            }
            let without = others.iter().filter(|other| other.live() == 0 && !other.is_retired());
            without.map(|other| other.weight()).sum::<usize>().min(self.total / 2)
        };
        while self.used.get() + weight + kept(&others) > self.total {
            // Last ones are worth it only for a first one, and only where there are more pools than room; but for those that
            // wait for the streams of a replaced entry.
            let spare = |other: &&Rc<dyn Tenant>| other.idle() > 0 && (first || other.live() > 1 || other.is_retired());
            match others.iter().filter(spare).max_by_key(|other| other.idle()) {
                Some(other) => other.evict(),
                None => {
                    let asking: Rc<dyn Tenant> = asking.clone();
                    let asking = Rc::downgrade(&asking);
                    let mut waiting = self.waiting.borrow_mut();
                    if !waiting.iter().any(|waits| Weak::ptr_eq(waits, &asking)) {
                        waiting.push_back(asking);
                    }
                    return false;
                }
            }
        }
        self.used.set(self.used.get() + weight);
        true
    }

    /// An instance is gone.
    pub(super) fn release(&self, weight: usize) {
        self.used.set(self.used.get().saturating_sub(weight));
    }

    /// Room came free, or an instance became idle: those that were refused try again, the longest refused first.
    pub(super) fn retry_waiting(&self) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.iter().filter_map(Weak::upgrade).for_each(|tenant| tenant.retry());
    }

    /// Drops one idle instance of another pool, where the process has less room than was reckoned with.
    pub(super) fn evict_any(&self, asking: &impl Tenant) -> bool {
        let spare = self.others(asking).into_iter().filter(|other| other.idle() > 0).max_by_key(|other| other.idle());
        spare.map(|other| other.evict()).is_some()
    }

    fn others(&self, asking: &impl Tenant) -> Vec<Rc<dyn Tenant>> {
        let mut tenants = self.tenants.borrow_mut();
        tenants.retain(|tenant| tenant.strong_count() > 0);
        let others = tenants.iter().filter_map(Weak::upgrade);
        others.filter(|other| !std::ptr::addr_eq(Rc::as_ptr(other), asking)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pool {
        budget: Rc<InstanceBudget>,
        live: Cell<usize>,
        idle: Cell<usize>,
        retries: Cell<usize>,
    }

    impl Tenant for Pool {
        fn weight(&self) -> usize {
            1
        }
        fn live(&self) -> usize {
            self.live.get()
        }
        fn idle(&self) -> usize {
            self.idle.get()
        }
        fn is_retired(&self) -> bool {
            false
        }
        fn evict(&self) {
            self.idle.set(self.idle.get() - 1);
            self.live.set(self.live.get() - 1);
            self.budget.release(1);
        }
        fn retry(self: Rc<Self>) {
            self.retries.set(self.retries.get() + 1);
        }
    }

    fn pool(budget: &Rc<InstanceBudget>) -> Rc<Pool> {
        let pool =
            Rc::new(Pool { budget: budget.clone(), live: Cell::new(0), idle: Cell::new(0), retries: Cell::new(0) });
        let tenant: Rc<dyn Tenant> = pool.clone();
        budget.join(Rc::downgrade(&tenant));
        pool
    }

    fn make(pool: &Rc<Pool>) -> bool {
        let made = pool.budget.acquire(pool);
        pool.live.set(pool.live.get() + usize::from(made));
        made
    }

    #[test]
    fn a_hog_cannot_take_the_first_instance_of_another_pool() {
        let budget = InstanceBudget::new(4);
        let (hog, auth) = (pool(&budget), pool(&budget));
        assert_eq!((0..10).filter(|_| make(&hog)).count(), 3);
        assert!(make(&auth), "its share was kept");
        assert!(!make(&auth) && !make(&hog), "nothing is left");
    }

    #[test]
    fn idle_instances_go_before_a_pool_is_refused_but_never_the_last_of_another() {
        let budget = InstanceBudget::new(4);
        let (one, two) = (pool(&budget), pool(&budget));
        assert_eq!((0..3).filter(|_| make(&one)).count(), 3);
        one.idle.set(3);
        assert_eq!((0..9).filter(|_| make(&two)).count(), 3);
        assert_eq!((one.live.get(), one.idle.get()), (1, 1));
    }

    #[test]
    fn pools_that_nobody_asks_leave_half_of_the_room_to_those_that_work() {
        let budget = InstanceBudget::new(8);
        let pools: Vec<_> = (0..20).map(|_| pool(&budget)).collect();
        assert_eq!((0..20).filter(|_| make(&pools[0])).count(), 4);
        assert_eq!(pools[1..].iter().filter(|pool| make(pool)).count(), 4, "first ones take the rest");
    }

    #[test]
    fn with_more_pools_than_room_a_first_instance_takes_an_idle_last_one() {
        let budget = InstanceBudget::new(1);
        let (one, two) = (pool(&budget), pool(&budget));
        assert!(make(&one));
        assert!(!make(&two), "it is in use");
        one.idle.set(1);
        budget.retry_waiting();
        assert_eq!(two.retries.get(), 1);
        assert!(make(&two));
        assert_eq!(one.live.get(), 0);
    }
}
