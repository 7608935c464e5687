//! Equal calls under way anywhere in the process are one (`single-flight`).
//!
//! A flight is a task of its own, so it belongs to all who wait for it: it goes on when the one who asked first is gone,
//! and ends with the last one. Its end, good or bad, is the answer to all of them, and for a moment to those who come just
//! behind: whoever looked for the answer's trace (in kv, say) just before a guest left one there would call a second time.
//! Who wants to know how it is now says `Cache-Control: no-cache` (RFC 9111 section 5.2.1.4), and gets no such answer.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use tokio::sync::watch;

use super::calls::{CallError, CallResponse};

/// How long an outcome is still given to equal calls that come just behind it.
const AFTERGLOW: Duration = Duration::from_millis(100);

pub(crate) type CallResult = Result<CallResponse, CallError>;
type Board = watch::Sender<Option<CallResult>>;

/// The flights of a process, by what makes calls equal.
#[derive(Debug, Default)]
pub(crate) struct Flights(DashMap<String, Board>);

/// A flight on the board, until it is dropped.
struct Flight {
    flights: Arc<Flights>,
    key: String,
    board: Board,
}

impl Flight {
    async fn fly(self, call: impl Future<Output = CallResult>) {
        tokio::select! {
            outcome = call => {
                self.board.send_replace(Some(outcome));
                tokio::time::sleep(AFTERGLOW).await;
            }
            () = self.abandoned() => {}
        }
    }

    /// Nobody waits any more, and nobody can board any more.
    async fn abandoned(&self) {
        loop {
            self.board.closed().await;
            if self.flights.0.remove_if(&self.key, |_, board| self.is(board) && board.is_closed()).is_some() {
                return;
            }
        }
    }

    fn is(&self, board: &Board) -> bool {
        self.board.same_channel(board)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.remove_if(&self.key, |_, board| self.is(board));
    }
}

impl Flights {
    /// Makes the call, or waits for the equal one that is under way. One that is over already does only where no `news` are
    /// asked for.
    pub(crate) async fn share<F>(self: &Arc<Self>, key: &str, news: bool, call: F) -> CallResult
    where
        F: Future<Output = CallResult> + Send + 'static,
    {
        let mut call = Some(call);
        loop {
            let mut receiver = match self.0.entry(key.to_owned()) {
                Slot::Occupied(board) if !(news && board.get().borrow().is_some()) => board.get().subscribe(),
                slot => {
                    let Some(call) = call.take() else { return Err(CallError::Reset) };
                    let (board, receiver) = watch::channel(None);
                    // Another one that is there is over, and takes off none but itself.
                    slot.insert(board.clone());
                    let flight = Flight { flights: self.clone(), key: key.to_owned(), board };
                    tokio::spawn(flight.fly(call));
                    receiver
                }
            };
            if let Ok(outcome) = receiver.wait_for(Option::is_some).await
                && let Some(outcome) = outcome.clone()
            {
                return outcome;
            }
            // The worker on which it was under way has ended.
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Waker};

    use bytes::Bytes;

    use super::*;
    use crate::message::FieldMap;

    fn answer() -> CallResult {
        Ok(CallResponse { status: 200, headers: FieldMap::new(), body: Bytes::from_static(b"keys") })
    }

    /// A call that takes a second, and counts when it begins and when it ends.
    fn slow(
        made: &Arc<AtomicUsize>,
        ended: &Arc<AtomicUsize>,
        outcome: CallResult,
    ) -> impl Future<Output = CallResult> + use<> {
        let (made, ended) = (made.clone(), ended.clone());
        async move {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            ended.fetch_add(1, Ordering::Relaxed);
            outcome
        }
    }

    #[tokio::test(start_paused = true)]
    async fn equal_calls_share_one_outcome_and_so_do_those_just_behind_it() {
        for outcome in [answer(), Err(CallError::Timeout)] {
            let flights = Arc::new(Flights::default());
            let (made, ended) = (Arc::default(), Arc::default());
            let call = || slow(&made, &ended, outcome.clone());
            let (a, b, c) = tokio::join!(
                flights.share("k", false, call()),
                flights.share("k", false, call()),
                flights.share("other", false, call())
            );
            assert!([a, b, c].iter().all(|shared| shared.is_ok() == outcome.is_ok()));
            assert_eq!(flights.share("k", false, call()).await.is_ok(), outcome.is_ok(), "just behind it");
            assert_eq!(made.load(Ordering::Relaxed), 2);
            tokio::time::sleep(AFTERGLOW * 2).await;
            assert!(flights.0.is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_news_is_not_told_what_was_said_before() {
        let flights = Arc::new(Flights::default());
        let (made, ended) = (Arc::default(), Arc::default());
        let call = || slow(&made, &ended, answer());
        assert!(flights.share("k", false, call()).await.is_ok());
        let (a, b) = tokio::join!(flights.share("k", true, call()), flights.share("k", true, call()));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(made.load(Ordering::Relaxed), 2, "one that is under way brings news");
        tokio::time::sleep(AFTERGLOW * 2).await;
        assert!(flights.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_goes_on_for_the_others_when_the_one_who_began_it_is_gone() {
        let flights = Arc::new(Flights::default());
        let (made, ended) = (Arc::default(), Arc::default());
        let call = || slow(&made, &ended, answer());
        let first = tokio::time::timeout(Duration::from_millis(300), flights.share("k", false, call()));
        let (first, second) = tokio::join!(first, flights.share("k", false, call()));
        assert!(first.is_err() && second.is_ok());
        assert_eq!(made.load(Ordering::Relaxed), 1, "nobody calls a second time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_for_which_nobody_waits_ends() {
        let flights = Arc::new(Flights::default());
        let (made, ended) = (Arc::default(), Arc::default());
        {
            let mut left = pin!(flights.share("k", false, slow(&made, &ended, answer())));
            assert!(left.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(flights.0.is_empty());
        assert_eq!((made.load(Ordering::Relaxed), ended.load(Ordering::Relaxed)), (1, 0));
        assert!(flights.share("k", false, slow(&made, &ended, answer())).await.is_ok(), "the next one begins anew");
    }
}
