//! A request as its connection sees it: it runs until its response has been given out in full, or was given up.

use std::rc::Rc;

use super::activity::Activity;
use super::multiplexed::StreamActivity;

/// Whoever waits for the end of the response to a request.
pub(super) trait Answered {
    /// The response was given to the connection in full, or was given up.
    fn answered(&self);
}

/// Counts a request as running on its connection until its response has ended.
pub(super) struct Running {
    activity: Rc<Activity>,
    pub(super) stream: Option<Rc<StreamActivity>>,
    /// Told when it is over.
    pub(super) answered: Option<Rc<dyn Answered>>,
}

impl Running {
    /// A request has begun.
    pub(super) fn start(activity: Rc<Activity>) -> Self {
        activity.request_started();
        Self { activity, stream: None, answered: None }
    }

    /// A request has begun of which the response can be cut by itself when the client does not take it.
    pub(super) fn on_stream(activity: Rc<Activity>) -> (Self, Rc<StreamActivity>) {
        activity.request_started();
        let stream = activity.stream_started();
        (Self { activity, stream: Some(stream.clone()), answered: None }, stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.request_ended(self.stream.as_deref());
        if let Some(waiting) = &self.answered {
            waiting.answered();
        }
    }
}
