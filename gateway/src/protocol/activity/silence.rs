//! Clients of HTTP/2 that say nothing while they wait for responses: they are asked whether they are there.

use std::time::Instant;

use super::{Activity, Silence};

impl Activity {
    /// From now on the connection can ask its client whether it is there.
    pub(in crate::protocol) fn watch_silence(&self) {
        self.silence.set(Silence::Watched);
    }

    /// Whether it is to do so now.
    pub(in crate::protocol) fn take_silence(&self) -> bool {
        let due = self.silence.get() == Silence::Due;
        if due {
            self.silence.set(Silence::Asked);
        }
        due
    }

    /// Has a client asked that has been silent for the idle timeout while it waits for responses, and closes the connection
    /// where nothing comes of it within the header timeout.
    pub(in crate::protocol) fn break_silence(&self, now: Instant) {
        let silence = self.silence.get();
        if silence == Silence::Unwatched {
            return;
        }
        // A stalled write has a limit of its own, and so has an idle connection.
        if self.heard.replace(false) || !self.is_busy() || self.write_stalled.get().is_some() {
            self.silence.set(Silence::Watched);
            return self.silent_since.set(now);
        }
        let silent = now.saturating_duration_since(self.silent_since.get());
        if silence != Silence::Watched {
            if silent > self.limits.idle_timeout + self.limits.header_timeout {
                self.close();
            }
        } else if silent > self.limits.idle_timeout {
            self.silence.set(Silence::Due);
            self.wake();
        }
    }
}
