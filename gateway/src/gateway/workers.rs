//! The worker threads, as the control thread sees them.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::ApplyError;
use crate::sanitize::safe;
use crate::worker::{self, WorkerCommand, WorkerParts};

/// How often the control thread looks whether the workers have finished.
pub(super) const POLL: Duration = Duration::from_millis(10);

struct WorkerThread {
    commands: mpsc::UnboundedSender<WorkerCommand>,
    thread: JoinHandle<()>,
}

/// All workers.
#[derive(Default)]
pub(super) struct Workers(Vec<WorkerThread>);

impl Workers {
    /// Starts one more worker.
    pub(super) fn start(
        &mut self,
        parts: impl FnOnce(mpsc::UnboundedReceiver<WorkerCommand>) -> WorkerParts,
    ) -> Result<(), ApplyError> {
        let (commands, received) = mpsc::unbounded_channel();
        let parts = parts(received);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", self.0.len()))
            .spawn(move || {
                if let Err(error) = worker::run(parts) {
                    tracing::error!(error = %safe!(error), "a worker could not start");
                }
            })
            .map_err(ApplyError::system("starting a worker"))?;
        self.0.push(WorkerThread { commands, thread });
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Tells every worker the same.
    pub(super) fn tell(&self, command: impl Fn() -> WorkerCommand) {
        self.tell_each((0..self.0.len()).map(|_| command()));
    }

    /// Tells each worker something of its own.
    pub(super) fn tell_each(&self, commands: impl IntoIterator<Item = WorkerCommand>) {
        for (worker, command) in self.0.iter().zip(commands) {
            // A worker that is gone has logged why.
            let _ = worker.commands.send(command);
        }
    }

    /// Whether every thread has ended.
    pub(super) fn are_finished(&self) -> bool {
        self.0.iter().all(|worker| worker.thread.is_finished())
    }
}
