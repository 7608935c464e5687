//! The processes that the demo starts. All of them end with it: by drop, or by the signal that ends the demo.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;

type List = Arc<Mutex<Vec<(String, Child)>>>;

/// Running processes by name.
pub(super) struct Children(List);

impl Children {
    /// Also takes over SIGINT, SIGTERM and SIGHUP: they stop the children, then this process.
    pub(super) fn new() -> Result<Self> {
        let list = List::default();
        let theirs = Arc::clone(&list);
        let failed = |error: std::io::Error| format!("signals can't be caught: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (interrupt, terminate, hangup) = {
            let _entered = runtime.enter();
            let catch = |kind| signal(kind).map_err(failed);
            (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?, catch(SignalKind::hangup())?)
        };
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let (mut interrupt, mut terminate, mut hangup) = (interrupt, terminate, hangup);
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            eprintln!("\nstopping");
            // The lock is kept, so that nothing is started any more.
            let mut list = lock(&theirs);
            stop_all(&mut list);
            std::process::exit(130);
        });
        Ok(Self(list))
    }

    /// Starts a process under a name.
    pub(super) fn start(&self, name: &str, command: &mut Command) -> Result {
        let mut list = lock(&self.0);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", command.get_program().to_string_lossy()))?;
        list.push((name.to_owned(), child));
        Ok(())
    }

    /// Whether it still runs.
    pub(super) fn is_running(&self, name: &str) -> bool {
        lock(&self.0).iter_mut().any(|(known, child)| known == name && matches!(child.try_wait(), Ok(None)))
    }

    /// Ends a process with no chance to say goodbye; gives back its id.
    pub(super) fn kill(&self, name: &str) -> Option<u32> {
        let mut child = self.take(name)?;
        let id = child.id();
        let _ = child.kill();
        let _ = child.wait();
        Some(id)
    }

    /// Asks a process to end; its exit code, if it ends by itself in time.
    pub(super) fn terminate(&self, name: &str, limit: Duration) -> Option<i32> {
        terminate(&mut self.take(name)?, limit)
    }

    fn take(&self, name: &str) -> Option<Child> {
        let mut list = lock(&self.0);
        let index = list.iter().position(|(known, _)| known == name)?;
        Some(list.swap_remove(index).1)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        stop_all(&mut lock(&self.0));
    }
}

fn lock(list: &List) -> MutexGuard<'_, Vec<(String, Child)>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The youngest first: the gateway before its services.
fn stop_all(list: &mut Vec<(String, Child)>) {
    while let Some((_, mut child)) = list.pop() {
        terminate(&mut child, Duration::from_secs(5));
    }
}

/// SIGTERM, and SIGKILL after the limit.
fn terminate(child: &mut Child, limit: Duration) -> Option<i32> {
    if let Ok(Some(status)) = child.try_wait() {
        return status.code();
    }
    // The standard library has no SIGTERM. The child isn't waited for yet, so its id can't be another process's.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
