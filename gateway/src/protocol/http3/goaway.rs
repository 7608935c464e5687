//! How a connection over HTTP/3 ends: with GOAWAY, so that the client knows what was not served (RFC 9114 section 5.2).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::protocol::activity::{Activity, Ending};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell the client to send no more, with an id that excludes nothing.
    Announce,
    /// Refuse new requests, and say which one was the last.
    Refuse,
    /// Everything has been answered, and the client has heard of the end.
    Finish,
}

/// Where a connection is on its way to its end.
#[derive(Clone, Copy, PartialEq)]
enum GoawayState {
    /// It serves requests.
    Open,
    /// The client has been told to send no more; what it had sent before it heard of that is served.
    Announced,
    /// New requests are refused, the others finish.
    Refusing,
}

/// The end of one connection. Whoever is given a step takes it, and then [waits](Self::wait) for what is under way.
pub(super) struct Goaway {
    state: GoawayState,
    /// Requests ran when it was asked last.
    busy: bool,
    /// A round trip, and until when it takes.
    round_trip: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Goaway {
    pub(super) const fn new() -> Self {
        Self { state: GoawayState::Open, busy: false, round_trip: Duration::ZERO, timer: None }
    }

    /// The client hears what it was told now, and has answered, when this much time has passed.
    pub(super) fn wait(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
        let until = Instant::now() + round_trip;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(until),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
        }
    }

    /// The next step, once it is time for it.
    pub(super) fn poll_step(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<Step> {
        let ending = activity.poll_ending(cx);
        match (self.state, ending) {
            (GoawayState::Open, Ending::None) => Poll::Pending,
            (GoawayState::Open, Ending::Drain) => {
                self.state = GoawayState::Announced;
                Poll::Ready(Step::Announce)
            }
            // It was idle: there is nothing to exclude.
            (GoawayState::Open, Ending::Finish | Ending::Close) => {
                self.state = GoawayState::Refusing;
                Poll::Ready(Step::Refuse)
            }
            (GoawayState::Announced, _) => {
                ready!(self.poll_timer(cx));
                self.state = GoawayState::Refusing;
                Poll::Ready(Step::Refuse)
            }
            (GoawayState::Refusing, _) => {
                let was_busy = std::mem::replace(&mut self.busy, activity.is_busy());
                if self.busy {
                    return Poll::Pending;
                }
                // GOAWAY has to arrive before the connection closes, which discards what was not sent.
                if was_busy {
                    self.wait(self.round_trip);
                }
                self.poll_timer(cx).map(|()| Step::Finish)
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Ready(()), |timer| timer.as_mut().poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;
    use crate::model::ListenerLimits;
    use crate::protocol::activity::Group;
    use crate::protocol::connections::Connections;
    use crate::protocol::running::Running;

    fn activity(connections: &Connections) -> Rc<Activity> {
        connections.add(&ListenerLimits::defaults(), &Rc::<Group>::default())
    }

    fn step(goaway: &mut Goaway, activity: &Activity) -> Poll<Step> {
        goaway.poll_step(activity, &mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_announces_then_refuses_then_waits_for_the_last_response_and_a_round_trip() {
        const ROUND_TRIP: Duration = Duration::from_millis(100);
        let connections = Connections::default();
        let (activity, mut goaway) = (activity(&connections), Goaway::new());
        let running = Running::start(activity.clone());
        assert_eq!(step(&mut goaway, &activity), Poll::Pending);
        connections.drain(std::time::Instant::now());
        for told in [Step::Announce, Step::Refuse] {
            assert_eq!(step(&mut goaway, &activity), Poll::Ready(told));
            goaway.wait(ROUND_TRIP);
            assert_eq!(step(&mut goaway, &activity), Poll::Pending);
            tokio::time::advance(ROUND_TRIP * 2).await;
        }
        assert_eq!(step(&mut goaway, &activity), Poll::Pending, "a request runs");
        drop(running);
        assert_eq!(step(&mut goaway, &activity), Poll::Pending, "the end of its response is under way");
        tokio::time::advance(ROUND_TRIP * 2).await;
        assert_eq!(step(&mut goaway, &activity), Poll::Ready(Step::Finish));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_told_once() {
        let connections = Connections::default();
        let (activity, mut goaway) = (activity(&connections), Goaway::new());
        connections.sweep(std::time::Instant::now() + Duration::from_secs(16));
        assert_eq!(step(&mut goaway, &activity), Poll::Ready(Step::Refuse));
    }
}
