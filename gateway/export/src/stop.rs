//! The end of an export, which everything in it that waits has to hear of.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Whoever says when it ends. Ends it at once when dropped.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<Option<Instant>>);

/// Whether it has been said, and by when all has to be done.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Instant>>);

pub(crate) fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks for the end. What is asked for first counts.
    pub(crate) fn stop(&self, within: Duration) {
        let now = Instant::now();
        // Some hundred years are as good as for ever.
        let deadline = now.checked_add(within).unwrap_or(now + Duration::from_secs(1 << 32));
        self.0.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(deadline);
            is_first
        });
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

impl Stop {
    /// By when all has to be done, once the end was asked for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Whether there is no time left.
    pub(crate) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Waits until the end is asked for, and says by when.
    pub(crate) async fn asked(&self) -> Instant {
        let mut receiver = self.0.clone();
        let asked = receiver.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
        // Nobody is left to ask: the same as a drop.
        asked.unwrap_or_else(Instant::now)
    }

    /// Waits until there is no time left.
    pub(crate) async fn over(&self) {
        tokio::time::sleep_until(self.asked().await).await;
    }
}
