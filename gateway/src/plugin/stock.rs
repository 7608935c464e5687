//! The instances of one pool: which are idle, who waits for one, and when another one is made.
//!
//! Instances are made by tasks of the stock, a few at a time, never by whoever asks: those only wait for what is given
//! back, in the order in which they came. So a burst makes few, and what was begun for a client that left serves the
//! next. What an instance is, and how it is made, is the [`Maker`]'s: a plugin's guest, or a script in tests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::budget::{InstanceBudget, Tenant};
use super::error::PluginError;
use super::maker::{MakeError, Maker, Reuse};

/// How long a request waits while all instances are in use.
const WAIT: Duration = Duration::from_secs(1);
/// How long it waits while there are none and the first ones are being made: `configure` may take its 2 s of CPU time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Instances being made at a time.
const MAKERS: usize = 2;

type Waiter<M> = oneshot::Sender<Result<Taken<M>, PluginError>>;

/// See the module.
pub(super) struct Stock<M: Maker> {
    maker: M,
    budget: Rc<InstanceBudget>,
    idle: RefCell<Vec<M::Item>>,
    /// Idle, lent, or being made.
    live: Cell<usize>,
    making: Cell<usize>,
    waiting: RefCell<VecDeque<Waiter<M>>>,
    /// Held for the length of a stream.
    pinned: RefCell<Vec<Weak<Pin<M>>>>,
    /// One is being made, or has been made, in place of a replaceable one.
    replacing: Cell<bool>,
    retired: Cell<Option<Instant>>,
}

impl<M: Maker> Stock<M> {
    pub(super) fn new(maker: M, budget: Rc<InstanceBudget>) -> Rc<Self> {
        let stock = Rc::new(Self {
            maker,
            budget,
            idle: RefCell::default(),
            live: Cell::new(0),
            making: Cell::new(0),
            waiting: RefCell::default(),
            pinned: RefCell::default(),
            replacing: Cell::new(false),
            retired: Cell::new(None),
        });
        let tenant: Rc<dyn Tenant> = stock.clone();
        stock.budget.join(Rc::downgrade(&tenant));
        stock
    }

    pub(super) const fn maker(&self) -> &M {
        &self.maker
    }

    /// One that is idle.
    pub(super) fn idle_one(self: &Rc<Self>) -> Option<Taken<M>> {
        let item = self.idle.borrow_mut().pop()?;
        Some(Taken::new(self, item))
    }

    /// One, as soon as one is given back or made.
    pub(super) async fn take(self: &Rc<Self>) -> Result<Taken<M>, PluginError> {
        if let Some(taken) = self.idle_one() {
            return Ok(taken);
        }
        let (sender, mut receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        self.supply();
        let began = tokio::time::Instant::now();
        loop {
            match timeout(WAIT, &mut receiver).await {
                Ok(Ok(result)) => return result,
                // Nothing can be given back yet: the first ones are still being made.
                Err(_)
                    if self.making.get() > 0
                        && self.live.get() == self.making.get()
                        && began.elapsed() < FIRST_WAIT => {}
                Ok(Err(_)) | Err(_) => return Err(PluginError::Busy(self.maker.limit())),
            }
        }
    }

    /// Has as many made as are waited for, within all bounds.
    fn supply(self: &Rc<Self>) {
        let wanted = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.len().min(MAKERS)
        };
        if wanted > 0
            && let Err(error) = self.maker.may_make()
        {
            // What is in use may come back; where nothing is, nothing will.
            if self.live.get() == 0 {
                self.refuse(&error);
            }
            return;
        }
        while self.making.get() < wanted && self.live.get() < self.maker.limit().max(1) && self.budget.acquire(self) {
            self.begin();
        }
    }

    /// Has one made whose room was acquired.
    fn begin(self: &Rc<Self>) {
        self.live.set(self.live.get() + 1);
        self.making.set(self.making.get() + 1);
        self.maker.counted(1);
        let (stock, first) = (self.clone(), self.live.get() == 1);
        tokio::task::spawn_local(async move {
            let mut made = stock.maker.make(first).await;
            if matches!(made, Err(MakeError::Exhausted)) && stock.budget.evict_any(&*stock) {
                made = stock.maker.make(first).await;
            }
            stock.making.set(stock.making.get() - 1);
            match made {
                Ok(item) => stock.shelve_new(item),
                Err(error) => {
                    stock.replacing.set(false);
                    stock.forget_one();
                    match error {
                        MakeError::Failed(error) => stock.refuse(&error),
                        // What is in use comes back; where nothing is, nothing will.
                        MakeError::Exhausted if stock.live.get() == 0 => {
                            stock.refuse(&PluginError::Busy(stock.maker.limit()));
                        }
                        MakeError::Exhausted => return,
                    }
                }
            }
            stock.supply();
        });
    }

    fn shelve_new(self: &Rc<Self>, item: M::Item) {
        // The replaceable one that it was made for goes, now where it is idle, else when it comes back.
        if self.replacing.get() && self.discard_replaceable() {
            self.replacing.set(false);
        }
        self.keep_idle(item);
    }

    fn discard_replaceable(&self) -> bool {
        let replaceable = {
            let mut idle = self.idle.borrow_mut();
            let place = idle.iter().position(|item| self.maker.reuse(item) == Reuse::UntilReplaced);
            place.map(|place| idle.swap_remove(place))
        };
        replaceable.map(|replaceable| self.discard(replaceable)).is_some()
    }

    /// To whoever waits longest, or to the idle ones.
    fn keep_idle(self: &Rc<Self>, item: M::Item) {
        let mut item = item;
        while let Some(waiter) = self.next_waiter() {
            let Err(Ok(mut unwanted)) = waiter.send(Ok(Taken::new(self, item))) else { return };
            // It has left.
            let Some(back) = unwanted.held.take() else { return };
            item = back;
        }
        // One stays for the streams that go on with what was replaced: each chunk would have to be configured for anew. It goes
        // with the last of them.
        if self.retired.get().is_some() && self.idle() > 0 {
            return self.discard(item);
        }
        self.idle.borrow_mut().push(item);
        self.budget.retry_waiting();
    }

    fn next_waiter(&self) -> Option<Waiter<M>> {
        self.waiting.borrow_mut().pop_front()
    }

    fn give_back(self: &Rc<Self>, item: M::Item) {
        match self.maker.reuse(&item) {
            Reuse::Never => {
                self.maker.discarded(&item);
                self.discard(item);
                self.supply();
            }
            Reuse::Freely => self.keep_idle(item),
            Reuse::UntilReplaced => {
                if !self.replacing.get() && self.retired.get().is_none() && self.budget.acquire(self) {
                    self.replacing.set(true);
                    self.begin();
                } else if self.replacing.get() && self.making.get() == 0 {
                    // Another one is there in its place.
                    self.replacing.set(false);
                    return self.discard(item);
                }
                self.keep_idle(item);
            }
        }
    }

    fn discard(&self, item: M::Item) {
        drop(item);
        self.forget_one();
    }

    fn forget_one(&self) {
        self.live.set(self.live.get().saturating_sub(1));
        self.maker.counted(-1);
        self.budget.release(self.maker.weight());
        self.budget.retry_waiting();
    }

    /// No instance can be made: whoever waits is told why.
    fn refuse(&self, error: &PluginError) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waiter in waiting {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Instances that exist or are being made.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Idle instances go now, the others when they come back, but for one.
    pub(super) fn retire(&self, now: Instant) {
        if self.retired.get().is_none() {
            self.retired.set(Some(now));
        }
        while self.idle() > 0 {
            self.evict();
        }
        self.budget.retry_waiting();
    }

    /// When it was retired.
    pub(super) fn retired(&self) -> Option<Instant> {
        self.retired.get()
    }

    /// Takes back what is held for the length of a stream and not in a call just now.
    pub(super) fn reclaim(&self) {
        // What is in a call just now stays listed, for the next time.
        let mut taken = Vec::new();
        self.pinned.borrow_mut().retain(|pin| {
            let Some(pin) = pin.upgrade() else { return false };
            let item = pin.item.borrow_mut().take();
            let in_call = item.is_none();
            taken.extend(item);
            in_call
        });
        taken.into_iter().for_each(|item| self.discard(item));
    }
}

impl<M: Maker> Tenant for Stock<M> {
    fn weight(&self) -> usize {
        self.maker.weight()
    }

    fn live(&self) -> usize {
        self.live.get()
    }

    fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    fn is_retired(&self) -> bool {
        self.retired.get().is_some()
    }

    fn evict(&self) {
        let item = self.idle.borrow_mut().pop();
        if let Some(item) = item {
            drop(item);
            self.live.set(self.live.get().saturating_sub(1));
            self.maker.counted(-1);
            self.budget.release(self.maker.weight());
        }
    }

    fn retry(self: Rc<Self>) {
        self.supply();
    }
}

impl<M: Maker> Drop for Stock<M> {
    fn drop(&mut self) {
        // What is still idle goes with it.
        for _ in 0..self.live.get() {
            self.maker.counted(-1);
            self.budget.release(self.maker.weight());
        }
    }
}

/// The place of an instance that is held between calls, known to its stock.
struct Pin<M: Maker> {
    item: RefCell<Option<M::Item>>,
}

/// An instance that is lent. Dropping it gives it back.
pub(super) struct Taken<M: Maker> {
    stock: Rc<Stock<M>>,
    held: Option<M::Item>,
    pin: Option<Rc<Pin<M>>>,
}

impl<M: Maker> Taken<M> {
    fn new(stock: &Rc<Stock<M>>, item: M::Item) -> Self {
        Self { stock: stock.clone(), held: Some(item), pin: None }
    }

    /// The instance, for one call; `None` = its stock has taken it back, or an earlier call was dropped half-way.
    pub(super) fn hold(&mut self) -> Option<(&mut M::Item, &M)> {
        if let (None, Some(pin)) = (&self.held, &self.pin) {
            self.held = pin.item.borrow_mut().take();
        }
        self.held.as_mut().map(|item| (item, &self.stock.maker))
    }

    /// The call is over: a pinned instance is its stock's to take back until the next one.
    pub(super) fn release(&mut self) {
        if let Some(pin) = &self.pin {
            *pin.item.borrow_mut() = self.held.take();
        }
    }

    /// From here on it is held between calls too.
    pub(super) fn pin(&mut self) {
        if self.pin.is_some() {
            return;
        }
        let pin = Rc::new(Pin { item: RefCell::new(self.held.take()) });
        let mut pinned = self.stock.pinned.borrow_mut();
        pinned.retain(|pin| pin.strong_count() > 0);
        pinned.push(Rc::downgrade(&pin));
        drop(pinned);
        self.pin = Some(pin);
    }
}

impl<M: Maker> Drop for Taken<M> {
    fn drop(&mut self) {
        let pinned = self.pin.take().and_then(|pin| pin.item.borrow_mut().take());
        if let Some(item) = self.held.take().or(pinned) {
            self.stock.give_back(item);
        }
    }
}

#[cfg(test)]
mod tests;
