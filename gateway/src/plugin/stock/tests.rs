//! Who gets an instance, and when one is made. Time is tokio's, and stands still unless all wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;

/// Makes numbers, as slowly and as badly as it is told.
struct Script {
    takes: Duration,
    limit: usize,
    made: Cell<u32>,
    outcome: Cell<Outcome>,
    /// Numbers below are to be replaced.
    replaced_below: Cell<u32>,
    unusable: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good,
    Fails,
    Exhausted,
}

impl Maker for Script {
    type Item = u32;

    async fn make(&self, _first: bool) -> Result<u32, MakeError> {
        let number = self.made.get();
        self.made.set(number + 1);
        tokio::time::sleep(self.takes).await;
        match self.outcome.get() {
            Outcome::Good => Ok(number),
            Outcome::Fails => Err(MakeError::Failed(PluginError::Instance("told to".to_owned()))),
            Outcome::Exhausted => Err(MakeError::Exhausted),
        }
    }

    fn reuse(&self, item: &u32) -> Reuse {
        match (self.unusable.get(), *item < self.replaced_below.get()) {
            (true, _) => Reuse::Never,
            (false, true) => Reuse::UntilReplaced,
            (false, false) => Reuse::Freely,
        }
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn weight(&self) -> usize {
        1
    }
}

fn stock(takes: Duration, limit: usize, budget: &Rc<InstanceBudget>) -> Rc<Stock<Script>> {
    let script = Script {
        takes,
        limit,
        made: Cell::new(0),
        outcome: Cell::new(Outcome::Good),
        replaced_below: Cell::new(0),
        unusable: Cell::new(false),
    };
    Stock::new(script, budget.clone())
}

fn alone(takes: Duration) -> Rc<Stock<Script>> {
    stock(takes, 64, &InstanceBudget::new(100))
}

const SOON: Duration = Duration::from_millis(10);

async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// Polls once; whether it is not ready yet.
async fn waits<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Lets everything that can go on go on.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_makes_few_and_serves_all() {
    local(async {
        let stock = alone(SOON);
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let stock = stock.clone();
                spawn_local(async move { stock.take().await.map(drop) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let made = stock.maker().made.get();
        assert!((1..=4).contains(&made), "{made} were made for 64 short calls");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_configure_serves() {
    local(async {
        let stock = alone(Duration::from_millis(1900));
        assert!(stock.take().await.is_ok(), "the first request waits for it");
        assert!(stock.take().await.is_ok());
        assert_eq!(stock.maker().made.get(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_for_a_client_that_left_serves_the_next() {
    local(async {
        let stock = alone(SOON);
        let mut asked = Box::pin(stock.take());
        assert!(waits(&mut asked).await);
        settle().await;
        drop(asked);
        tokio::time::sleep(SOON * 2).await;
        assert_eq!((stock.idle(), stock.live()), (1, 1));
        assert!(stock.idle_one().is_some());
        assert_eq!(stock.maker().made.get(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_given_to_a_client_that_leaves_at_that_moment_is_not_lost() {
    local(async {
        let stock = stock(SOON, 1, &InstanceBudget::new(10));
        let only = stock.take().await.unwrap();
        let mut asked = Box::pin(stock.take());
        assert!(waits(&mut asked).await);
        drop(only); // It is on its way to who asked, who does not look any more.
        drop(asked);
        assert_eq!((stock.idle(), stock.live()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_are_refused_when_all_stay_in_use() {
    local(async {
        let stock = stock(SOON, 2, &InstanceBudget::new(10));
        let _held = (stock.take().await.unwrap(), stock.take().await.unwrap());
        let began = tokio::time::Instant::now();
        assert!(matches!(stock.take().await, Err(PluginError::Busy(2))));
        assert_eq!(began.elapsed(), WAIT);
        assert_eq!(stock.maker().made.get(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_why_none_can_be_made() {
    local(async {
        let stock = alone(SOON);
        stock.maker().outcome.set(Outcome::Fails);
        let (one, two) = tokio::join!(stock.take(), stock.take());
        for result in [one.err(), two.err()] {
            assert!(matches!(result, Some(PluginError::Instance(_))), "{result:?}");
        }
        assert_eq!(stock.live(), 0);
        stock.maker().outcome.set(Outcome::Good);
        assert!(stock.take().await.is_ok(), "the next one is tried anew");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_process_without_room_is_asked_once_per_request() {
    local(async {
        let stock = alone(SOON);
        let held = stock.take().await.unwrap();
        stock.maker().outcome.set(Outcome::Exhausted);
        let (waiting, ()) = tokio::join!(stock.take(), async {
            tokio::time::sleep(SOON * 5).await;
            assert_eq!(stock.maker().made.get(), 2, "no busy loop");
            drop(held);
        });
        assert!(waiting.is_ok(), "it gets what is given back");
        drop(waiting);
        stock.maker().unusable.set(true);
        drop(stock.take().await);
        stock.maker().unusable.set(false);
        assert!(matches!(stock.take().await, Err(PluginError::Busy(_))), "at once, as nothing can come back");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hogs_all_room_leaves_the_others_their_share() {
    local(async {
        let budget = InstanceBudget::new(8);
        let (hog, auth) = (stock(SOON, 64, &budget), stock(SOON, 64, &budget));
        let mut held = Vec::new();
        while let Ok(taken) = hog.take().await {
            held.push(taken);
        }
        assert_eq!(held.len(), 7);
        let first = auth.take().await.expect("its first instance is sure");
        let (second, ()) = tokio::join!(auth.take(), async { drop(first) });
        assert!(second.is_ok(), "and serves one request after the other");
        let third = {
            let mut asked = Box::pin(auth.take());
            assert!(waits(&mut asked).await);
            drop(held.pop()); // It becomes idle, and goes for whoever was refused.
            asked.await
        };
        assert!(third.is_ok());
        assert_eq!(auth.live(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_worn_one_serves_until_its_replacement_is_there() {
    local(async {
        let stock = stock(SOON, 1, &InstanceBudget::new(10));
        drop(stock.take().await.unwrap());
        stock.maker().replaced_below.set(1);
        drop(stock.take().await.unwrap());
        let worn = stock.idle_one().expect("no request waits for the replacement");
        assert_eq!(stock.live(), 2);
        drop(worn);
        tokio::time::sleep(SOON * 2).await;
        assert_eq!((stock.live(), stock.maker().made.get()), (1, 2));
        let mut fresh = stock.idle_one().unwrap();
        assert_eq!(fresh.hold().map(|(item, _)| *item), Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retired_stock_takes_back_what_an_idle_stream_holds() {
    local(async {
        let stock = alone(SOON);
        let mut held = stock.take().await.unwrap();
        held.pin();
        assert!(held.hold().is_some(), "in a call");
        stock.retire(Instant::now());
        stock.reclaim();
        assert_eq!(stock.live(), 1, "not in the middle of a call");
        held.release();
        stock.reclaim();
        assert_eq!(stock.live(), 0);
        assert!(held.hold().is_none(), "the stream's next call finds nothing");
    })
    .await;
}
