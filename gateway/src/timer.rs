//! Deadlines that cost next to nothing while they don't pass. A timer is moved lazily: a deadline is a number that
//! changes freely, and the timer behind it is set anew only when it fires early or the deadline comes closer. Timers go
//! back to the worker's store, still running, so that most requests never touch the timer wheel.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// Timers without a user, of one worker.
#[derive(Clone, Default)]
pub(crate) struct Timers(Rc<RefCell<Vec<Pin<Box<Sleep>>>>>);

/// More than this many unused timers are not kept.
const KEPT: usize = 256;

/// The deadline of what is awaited now.
pub(crate) struct Stopwatch {
    store: Timers,
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
    limit: Duration,
}

impl Stopwatch {
    pub(crate) const fn new(store: Timers, limit: Duration) -> Self {
        Self { store, sleep: None, deadline: None, limit }
    }

    /// One whose deadline is fixed.
    pub(crate) fn until(store: Timers, deadline: std::time::Instant) -> Self {
        Self { store, sleep: None, deadline: Some(deadline.into()), limit: Duration::ZERO }
    }

    /// There was progress: the time runs anew from the next look at it.
    pub(crate) const fn restart(&mut self) {
        self.deadline = None;
    }

    /// There was progress at this moment.
    pub(crate) fn restart_from(&mut self, moment: Instant) {
        self.deadline = Some(moment + self.limit);
    }

    /// As `restart`, with another limit from now on.
    pub(crate) const fn restart_with(&mut self, limit: Duration) {
        self.deadline = None;
        self.limit = limit;
    }

    /// Whether the time is up; otherwise the task is woken when it may be.
    ///
    /// Holds also beside a peer that is never done: whoever reads without a pause spends the budget of its task (tokio's
    /// `coop`), and then a timer says no more than "not yet". The clock is asked instead.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        if !coop::has_budget_remaining() && Instant::now() >= deadline {
            return true;
        }
        let sleep = self
            .sleep
            .get_or_insert_with(|| self.store.0.borrow_mut().pop().unwrap_or_else(|| Box::pin(sleep_until(deadline))));
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        while let Poll::Ready(()) = sleep.as_mut().poll(cx) {
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

/// Bounds a future by a deadline; `None` = it has passed. The timer is looked at only when the future has to wait. It is
/// borrowed, because an async function holds what it takes by value twice.
pub(crate) async fn until<T>(
    store: &Timers,
    deadline: std::time::Instant,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut stopwatch = Stopwatch::until(store.clone(), deadline);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if stopwatch.poll_expired(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            let mut kept = self.store.0.borrow_mut();
            if kept.len() < KEPT {
                kept.push(sleep);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    async fn expire(stopwatch: &mut Stopwatch) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| if stopwatch.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        start.elapsed()
    }

    #[test]
    fn a_future_is_dropped_at_its_deadline_and_not_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Timers::default();
            let soon = std::time::Instant::now() + Duration::from_millis(20);
            assert_eq!(until(&store, soon, pin!(std::future::pending::<()>())).await, None);
            assert!(std::time::Instant::now() >= soon);
            assert_eq!(
                until(&store, soon, pin!(std::future::ready(1))).await,
                Some(1),
                "what is ready is taken all the same"
            );
            let later = std::time::Instant::now() + Duration::from_secs(3600);
            assert_eq!(until(&store, later, pin!(tokio::task::yield_now())).await, Some(()), "with a used timer");
        });
    }

    /// What a peer does that has always sent more: it spends the budget of whoever reads, and is never done.
    async fn busy() {
        poll_fn(|cx| {
            while coop::has_budget_remaining() {
                match coop::poll_proceed(cx) {
                    Poll::Ready(restore) => restore.made_progress(),
                    Poll::Pending => break,
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    #[test]
    fn a_peer_that_is_never_done_does_not_stop_the_clock() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let began = std::time::Instant::now();
            let soon = began + Duration::from_millis(20);
            // In a task of its own, for one without a budget could not be starved.
            let bounded = async move { until(&Timers::default(), soon, pin!(busy())).await };
            let local = tokio::task::LocalSet::new();
            let over = local.run_until(async move { tokio::task::spawn_local(bounded).await.unwrap() });
            assert_eq!(tokio::time::timeout(Duration::from_secs(30), over).await, Ok(None));
            assert!(began.elapsed() >= Duration::from_millis(20));
        });
    }

    #[test]
    fn fires_at_the_deadline_also_with_a_used_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Timers::default();
            for (armed, limit) in [(2, 20), (3_600_000, 20), (20, 40)] {
                let mut stopwatch = Stopwatch::new(store.clone(), Duration::from_millis(armed));
                poll_fn(|cx| {
                    assert!(!stopwatch.poll_expired(cx));
                    Poll::Ready(())
                })
                .await;
                drop(stopwatch);
                assert_eq!(store.0.borrow().len(), 1);
                let mut stopwatch = Stopwatch::new(store.clone(), Duration::from_millis(limit));
                let elapsed = expire(&mut stopwatch).await;
                assert!(elapsed >= Duration::from_millis(limit), "{elapsed:?} of {limit} ms");
                assert!(elapsed < Duration::from_secs(60), "{elapsed:?} of {limit} ms");
            }
        });
    }
}
