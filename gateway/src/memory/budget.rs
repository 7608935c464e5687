//! A number of bytes that the workers share, with a queue of those who wait for some.
//!
//! What is free goes to whoever waits longest, as soon as it is enough; newcomers do not overtake. What is under way may
//! use a reserve that newcomers may not, so that an exhausted budget ends little that has begun.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};

/// How long somebody waits for what others hold.
const WAIT: Duration = Duration::from_secs(1);

/// Up to so many bytes at a time go uncounted: every request may have them.
const LITTLE: usize = 16 << 10;

/// The budget has nothing left, and nobody gave anything back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl From<Exhausted> for Error {
    fn from(_: Exhausted) -> Self {
        Self::new(ErrorKind::BodyMemory, "limits.body_memory is used up")
    }
}

struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Hold>,
}

/// See the module.
pub struct Budget {
    limit: AtomicUsize,
    held: AtomicUsize,
    refused: AtomicU64,
    /// Length of the queue. Whoever gives something back looks here instead of taking the lock.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waiter>>,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        let (held, refused, waiting, queue) = Default::default();
        Arc::new(Self { limit: AtomicUsize::new(limit), held, refused, waiting, queue })
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// How often somebody was refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(SeqCst)
    }

    /// Changes the limit.
    pub fn set_limit(self: &Arc<Self>, bytes: usize) {
        self.limit.store(bytes, SeqCst);
        self.serve();
    }

    /// Takes bytes, or waits for them in turn, for a second at most. More than the whole budget is refused at once.
    pub async fn take(self: &Arc<Self>, bytes: usize) -> Result<Hold, Exhausted> {
        if let Some(hold) = self.try_take(bytes) {
            return Ok(hold);
        }
        if bytes > self.limit() {
            return Err(self.refuse());
        }
        // Whoever leaves the queue, at the end of its time or before, makes room for those behind it.
        let _leaving = Leaving(self);
        let (granted, grant) = oneshot::channel();
        {
            let mut queue = self.queue();
            queue.push_back(Waiter { bytes, granted });
            self.waiting.store(queue.len(), SeqCst);
        }
        // Something may have come back before this one stood in the queue.
        self.serve();
        // What is granted counts, also where the time is up as well.
        match tokio::time::timeout(WAIT, grant).await {
            Ok(Ok(hold)) => Ok(hold),
            Ok(Err(_)) | Err(_) => Err(self.refuse()),
        }
    }

    /// Takes bytes, unless there are too few or somebody waits.
    pub fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Hold> {
        (self.waiting.load(SeqCst) == 0 && self.reserve(bytes)).then(|| self.hold(bytes))
    }

    /// Takes bytes for something that is under way: from the reserve where it must, without a wait.
    pub fn take_now(self: &Arc<Self>, bytes: usize) -> Result<Hold, Exhausted> {
        let most = self.most();
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        match self.held.fetch_update(SeqCst, SeqCst, fits) {
            Ok(_) => Ok(self.hold(bytes)),
            Err(_) => Err(self.refuse()),
        }
    }

    /// Takes bytes at any rate.
    pub fn take_anyway(self: &Arc<Self>, bytes: usize) -> Hold {
        self.add(bytes);
        self.hold(bytes)
    }

    /// Counts what was just made, from the reserve where it must: for as long as somebody has a part of it. Little is not
    /// worth it.
    pub fn count(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Bytes, Exhausted> {
        if bytes.len() <= LITTLE {
            return Ok(bytes.into());
        }
        let hold = self.take_now(bytes.len())?;
        Ok(hold.wrap(bytes))
    }

    /// Counts bytes that are held already, whatever the limit.
    pub(super) fn add(&self, bytes: usize) {
        self.held.fetch_add(bytes, SeqCst);
    }

    /// Gives bytes back, and serves those who wait.
    pub(super) fn give_back(self: &Arc<Self>, bytes: usize) {
        self.held.fetch_sub(bytes, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.serve();
        }
    }

    /// Whether the reserve is used up as well.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.held() > self.most()
    }

    /// Whether less than half of it is left: what is kept only to be faster should go.
    pub fn is_tight(&self) -> bool {
        self.held() > self.limit() / 2
    }

    /// Counts a refusal.
    pub fn refuse(&self) -> Exhausted {
        self.refused.fetch_add(1, SeqCst);
        Exhausted
    }

    /// With the reserve: an eighth more.
    fn most(&self) -> usize {
        let limit = self.limit();
        limit.saturating_add(limit / 8)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let limit = self.limit();
        let fits = |held: usize| held.checked_add(bytes).filter(|held| *held <= limit);
        self.held.fetch_update(SeqCst, SeqCst, fits).is_ok()
    }

    fn hold(self: &Arc<Self>, bytes: usize) -> Hold {
        Hold { budget: self.clone(), bytes }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what is free to those who wait, in turn.
    fn serve(self: &Arc<Self>) {
        loop {
            let first = {
                let mut queue = self.queue();
                while queue.front().is_some_and(|waiter| waiter.granted.is_closed()) {
                    queue.pop_front();
                }
                let served = queue.front().is_some_and(|waiter| self.reserve(waiter.bytes));
                let first = if served { queue.pop_front() } else { None };
                self.waiting.store(queue.len(), SeqCst);
                first
            };
            let Some(Waiter { bytes, granted }) = first else { return };
            if let Err(unwanted) = granted.send(self.hold(bytes)) {
                // It has just left. The loop goes on with what it would have had.
                self.held.fetch_sub(unwanted.forget(), SeqCst);
            }
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("held", &self.held).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Looks who is next when somebody has left the queue.
struct Leaving<'a>(&'a Arc<Budget>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

/// Bytes that somebody holds; given back when it is dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    /// How many they are.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes on what another one of the same budget holds.
    pub fn merge(&mut self, other: Self) {
        self.bytes += other.forget();
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.give_back(less);
    }

    /// Ties itself to the bytes that it is for: it lives as long as the last part of them that anybody has.
    pub fn wrap(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Owned { bytes, _hold: self })
    }

    fn forget(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

struct Owned<T> {
    bytes: T,
    _hold: Hold,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Owned<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let mut hold = budget.try_take(6).unwrap();
        assert!(budget.try_take(5).is_none());
        hold.merge(budget.try_take(4).unwrap());
        hold.shrink(3);
        assert_eq!((budget.held(), hold.bytes()), (3, 3));
        let bytes = hold.wrap(vec![1, 2, 3]);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(budget.held(), 3, "a part of the bytes is still there");
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn what_is_under_way_has_a_reserve() {
        let budget = Budget::new(80);
        let _all = budget.try_take(80).unwrap();
        let reserve = budget.take_now(10).unwrap();
        assert_eq!(budget.take_now(1).unwrap_err(), Exhausted);
        drop(reserve);
        assert!(budget.take_now(1).is_ok());
        assert_eq!(budget.refused(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_served_in_turn_and_newcomers_do_not_overtake() {
        let budget = Budget::new(10);
        let first = budget.try_take(6).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut large = pin!(budget.take(8));
        assert!(large.as_mut().poll(&mut cx).is_pending());
        let mut small = pin!(budget.take(1));
        assert!(small.as_mut().poll(&mut cx).is_pending(), "there is room, but it is not its turn");
        assert!(budget.try_take(1).is_none());
        drop(first);
        let large = large.await.unwrap();
        let small = small.await.unwrap();
        assert_eq!(budget.held(), 9);
        drop((large, small));
        assert_eq!((budget.held(), budget.refused()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_second_in_vain_it_is_refused_and_the_next_in_turn_is_not_held_up() {
        let budget = Budget::new(10);
        let held = budget.try_take(9).unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(budget.take(5).await.unwrap_err(), Exhausted);
        assert_eq!(began.elapsed(), WAIT);
        assert_eq!(budget.take(1).await.unwrap().bytes(), 1, "whoever left is not in the way");
        drop(held);
        assert_eq!(budget.take(11).await.unwrap_err(), Exhausted, "more than there will ever be");
        assert_eq!((budget.held(), budget.refused()), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_granted_to_one_that_has_left_comes_back() {
        let budget = Budget::new(10);
        let held = budget.try_take(10).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut left = Box::pin(budget.take(10));
            assert!(left.as_mut().poll(&mut cx).is_pending());
            drop(held);
            assert_eq!(budget.held(), 10, "it was granted");
        }
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_queue_wakes_those_behind() {
        let budget = Budget::new(10);
        let _held = budget.try_take(6).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut large = Box::pin(budget.take(8));
        assert!(large.as_mut().poll(&mut cx).is_pending());
        let mut small = pin!(budget.take(1));
        assert!(small.as_mut().poll(&mut cx).is_pending());
        drop(large);
        assert!(small.as_mut().poll(&mut cx).is_ready());
        assert!(budget.try_take(1).is_some(), "nobody is in the queue any more");
    }

    #[test]
    fn a_larger_limit_serves_those_who_wait() {
        let budget = Budget::new(1);
        budget.set_limit(5);
        assert!(budget.try_take(5).is_some());
    }
}
