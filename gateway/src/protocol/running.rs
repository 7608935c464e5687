//! A request as its connection sees it: it runs until its response has been given out in full, or was given up.

use std::rc::Rc;

use super::activity::Activity;
use super::multiplexed::StreamActivity;
use super::upload::Upload;

/// Counts a request as running on its connection until its response has ended.
pub(super) struct Running {
    activity: Rc<Activity>,
    pub(super) stream: Option<Rc<StreamActivity>>,
    pub(super) upload: Option<Rc<Upload>>,
}

impl Running {
    /// A request has begun.
    pub(super) fn start(activity: Rc<Activity>) -> Self {
        activity.request_started();
        Self { activity, stream: None, upload: None }
    }

    /// A request has begun of which the response can be cut by itself when the client does not take it.
    pub(super) fn on_stream(activity: Rc<Activity>) -> Self {
        activity.request_started();
        let stream = Some(activity.stream_started());
        Self { activity, stream, upload: None }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.request_ended(self.stream.as_deref());
        if let Some(upload) = &self.upload {
            upload.answered();
        }
    }
}
