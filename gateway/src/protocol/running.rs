//! A request as its connection sees it: it runs until its response has been given out in full, or was given up.

use std::rc::Rc;

use super::activity::Activity;
use super::multiplexed::Stream;
use super::upload::Upload;

/// Counts a request as running on its connection until its response has ended.
pub(super) struct Running {
    activity: Rc<Activity>,
    pub(super) stream: Option<Rc<Stream>>,
    pub(super) upload: Option<Rc<Upload>>,
}

impl Running {
    /// The head of a request is complete.
    pub(super) fn start(activity: Rc<Activity>) -> Self {
        let stream = activity.request_started();
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
