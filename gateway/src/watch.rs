//! Tells when files have changed: the config, certificates, secrets, plugins. Files that are not named cost nothing,
//! however many lie beside those that are, and however often they change.
//!
//! It is level-triggered: what counts is that the files differ from what they were, not which event came. Events of
//! inotify only say when to look; where there are none (network file systems, exhausted watches) a poll looks. So
//! files may be written in place, copied slowly, replaced by rename, reached through symbolic links that are swapped
//! (a Kubernetes ConfigMap's `..data`), and their directory may go away and come back.
//!
//! A notification is sent once the files have been quiet for a moment, or after a bounded time when they never are.
//! Notifications that nobody has taken yet merge; one that follows a change is never lost. Whoever gets one reads
//! everything anew.

mod read;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self as events, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::sanitize::safe;
pub use read::read_regular;
pub(crate) use read::read_settled;
use scan::Scan;

/// Events that may wait; more of them only say once more that it is time to look.
const QUEUE: usize = 1_024;

/// The shortest time between two looks, so that a busy directory costs little.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// How a [`Watch`] looks.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// How long the files have to be quiet before a change is reported. Default 100 ms.
    pub debounce: Duration,
    /// How often to look without having been told to. Default 2 s.
    pub poll: Duration,
    /// A change is reported after this time even when more changes follow. Default 2 s.
    pub limit: Duration,
    /// Whether to ask the kernel for events. Default true.
    pub events: bool,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(100),
            poll: Duration::from_secs(2),
            limit: Duration::from_secs(2),
            events: true,
        }
    }
}

/// Watches paths, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Wakes the thread.
    wake: SyncSender<Vec<PathBuf>>,
    stop: AtomicBool,
    /// An event did not fit into the queue.
    overflow: AtomicBool,
    /// Paths that replace the watched ones.
    paths: Mutex<Option<Vec<PathBuf>>>,
    /// What events have to be about to matter: see [`Scan::steps`].
    steps: Mutex<HashSet<PathBuf>>,
}

impl Watch {
    /// Watches files, which need not exist yet. Every change after the return of this function is reported; so start
    /// watching before reading.
    pub fn start(paths: Vec<PathBuf>, options: WatchOptions) -> (Self, mpsc::Receiver<()>) {
        let (wake, events) = events::sync_channel(QUEUE);
        // One place: a notification that waits covers all changes until it is taken.
        let (sender, receiver) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            wake,
            stop: AtomicBool::new(false),
            overflow: AtomicBool::new(false),
            paths: Mutex::new(None),
            steps: Mutex::default(),
        });
        let mut state = WatchThread {
            watcher: options.events.then(|| watcher(&shared)).flatten(),
            directories: HashMap::new(),
            scan: Scan::default(),
            pending: None,
            paths,
            options,
            shared: shared.clone(),
            sender,
        };
        state.look();
        state.pending = None;
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || state.run(&events));
        if let Err(error) = thread {
            tracing::error!(error = %safe!(error), "no thread for watching files; changes will not be noticed");
        }
        (Self { shared }, receiver)
    }

    /// Watches these paths from now on. When they are not the same as before, a notification follows in any case: the new
    /// ones may have changed since they were read, and those that stay since the last look.
    pub fn set_paths(&self, paths: Vec<PathBuf>) {
        *self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner) = Some(paths);
        self.shared.wake();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake();
    }
}

impl Shared {
    fn wake(&self) {
        // A full queue wakes as well.
        let _ = self.wake.try_send(Vec::new());
    }

    /// Whether one of the paths lies on the way to a watched file. A directory may hold thousands of others, or a log that
    /// is written without a break.
    fn concerns(&self, paths: &[PathBuf]) -> bool {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().any(|path| steps.contains(path))
    }

    /// Runs on notify's thread.
    fn event(&self, event: notify::Result<notify::Event>) {
        let paths = match event {
            Ok(event) if !event.need_rescan() && !self.concerns(&event.paths) => return,
            Ok(event) => match event.kind {
                // Reading is no change, and looking would cause the next event.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => event.paths,
                EventKind::Access(_) => return,
                // The scan sees these by itself.
                EventKind::Modify(ModifyKind::Metadata(_)) => Vec::new(),
                _ if event.need_rescan() => {
                    self.overflow.store(true, Ordering::Relaxed);
                    Vec::new()
                }
                _ => event.paths,
            },
            Err(error) => {
                tracing::debug!(error = %safe!(error), "watching files");
                Vec::new()
            }
        };
        if self.wake.try_send(paths).is_err() {
            self.overflow.store(true, Ordering::Relaxed);
        }
    }
}

fn watcher(shared: &Arc<Shared>) -> Option<notify::RecommendedWatcher> {
    // Weak, because the thread that owns the watcher also owns `shared`.
    let weak = Arc::downgrade(shared);
    let handler = move |event| {
        if let Some(shared) = weak.upgrade() {
            shared.event(event);
        }
    };
    notify::recommended_watcher(handler)
        .inspect_err(|error| tracing::warn!(error = %safe!(*error), "no file events from the kernel; looking for changes by polling"))
        .ok()
}

/// A change that is not reported yet.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pending {
    first: Instant,
    last: Instant,
}

impl Pending {
    fn due(&self, options: &WatchOptions) -> Instant {
        (self.last + options.debounce).min(self.first + options.limit)
    }
}

/// The thread's state.
struct WatchThread {
    paths: Vec<PathBuf>,
    options: WatchOptions,
    shared: Arc<Shared>,
    sender: mpsc::Sender<()>,
    watcher: Option<notify::RecommendedWatcher>,
    /// Directories with a watch, and which directory that was: another one may have the name by now.
    directories: HashMap<PathBuf, scan::Identity>,
    scan: Scan,
    pending: Option<Pending>,
}

impl WatchThread {
    fn run(mut self, events: &events::Receiver<Vec<PathBuf>>) {
        let mut looked = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) && !self.sender.is_closed() {
            let wait = match self.pending {
                Some(pending) => pending.due(&self.options).saturating_duration_since(Instant::now()),
                None => self.options.poll,
            };
            match events.recv_timeout(wait) {
                Ok(paths) => {
                    thread::sleep(SHORTEST_PAUSE.saturating_sub(looked.elapsed()));
                    self.note(&paths);
                    while let Ok(paths) = events.try_recv() {
                        self.note(&paths);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.shared.overflow.swap(false, Ordering::Relaxed) {
                self.changed();
            }
            self.take_paths();
            self.look();
            looked = Instant::now();
            if self.pending.is_some_and(|pending| pending.due(&self.options) <= looked) {
                self.pending = None;
                // Full: the one that waits has not been taken, so its taker will read what is there now.
                let _ = self.sender.try_send(());
            }
        }
    }

    /// A write may leave size and times as they were (the clock of a file system is coarse), so an event about a file
    /// itself is a change, whatever a look tells.
    fn note(&mut self, paths: &[PathBuf]) {
        if paths.iter().any(|path| self.scan.has_file(path)) {
            self.changed();
        }
    }

    fn changed(&mut self) {
        let now = Instant::now();
        self.pending = Some(Pending { first: self.pending.map_or(now, |pending| pending.first), last: now });
    }

    fn take_paths(&mut self) {
        let paths = self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(paths) = paths.filter(|paths| !same(paths, &self.paths)) else { return };
        self.changed();
        self.paths = paths;
        self.scan = Scan::of(&self.paths);
    }

    /// Compares the files with what they were.
    fn look(&mut self) {
        let mut scan = self.scan();
        if self.watch_directories(&scan) {
            // Something may have happened before the new watches were there.
            scan = self.scan();
        }
        if scan.differs_from(&self.scan) {
            self.changed();
        }
        self.scan = scan;
    }

    /// Looks; from then on events about what was met on the way count, and others don't.
    fn scan(&self) -> Scan {
        let mut scan = Scan::of(&self.paths);
        *self.shared.steps.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut scan.steps);
        scan
    }

    /// Watches the directories of a scan, and no others. True when there are new watches.
    fn watch_directories(&mut self, scan: &Scan) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let gone = |(path, identity): &(&PathBuf, &scan::Identity)| scan.directories.get(*path) != Some(*identity);
        let gone: Vec<PathBuf> = self.directories.iter().filter(gone).map(|(path, _)| path.clone()).collect();
        for path in gone {
            // The kernel has dropped the watch when the directory is gone.
            let _ = watcher.unwatch(&path);
            self.directories.remove(&path);
        }
        let mut added = false;
        for (path, identity) in &scan.directories {
            if !self.directories.contains_key(path) && watch(watcher, path) {
                self.directories.insert(path.clone(), *identity);
                added = true;
            }
        }
        added
    }
}

/// Whether these are the same paths, in whatever order.
fn same(these: &[PathBuf], those: &[PathBuf]) -> bool {
    let within = |some: &[PathBuf], all: &[PathBuf]| some.iter().all(|path| all.contains(path));
    within(these, those) && within(those, these)
}

fn watch(watcher: &mut notify::RecommendedWatcher, path: &Path) -> bool {
    watcher
        .watch(path, RecursiveMode::NonRecursive)
        .inspect_err(
            |error| tracing::debug!(error = %safe!(*error), path = %path.display(), "can't watch; polling instead"),
        )
        .is_ok()
}
