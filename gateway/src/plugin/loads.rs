//! Plugin files on their way to be artifacts: each is compiled beside everything else, and nobody waits who need not.
//!
//! [`Loads::ask`] answers at once: with what a file is found to be, or that it is being compiled. A newer file in the same
//! place ends the older one's compilation. A few are compiled at a time. One that takes long goes on beside the others;
//! where too many do, it is begun anew when one of them has ended. So however many files take long, one that does not is
//! soon compiled.
//!
//! All of them together have a share of the machine's memory: one begins where what it may use is left of that, and where
//! one that takes long leaves no room, it is begun anew later.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use precompiled::{Cache, Compiler, Precompiled, Progress, Watch};
use tokio::sync::watch;

use super::artifact::Artifact;
use super::compile::compile;
use super::engine::Host;
use super::error::{LoadError, sanitise};
use crate::model::{Compile, PluginLimits};
use crate::sanitize::Texts;

/// How long a compilation runs before it is told of, and goes out of the others' way.
const LONG: Duration = Duration::from_secs(3);
/// How long a failure holds that says nothing about the file.
const PASSES: Duration = Duration::from_secs(1);
/// The same where the compilation was interrupted, at first and at most: each time costs as much as the file makes it.
const INTERRUPTED: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(600)];
/// How many results are kept of one file, each under limits of its own.
const KEPT: usize = 4;
/// Stack of a thread that loads what was compiled. The process that compiles has tried that on less.
const STACK: usize = 2 << 20;

/// How many are compiled at a time, and how many beside them that take long.
fn most() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(2, 4)
}

/// What is asked about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoadRequest {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// SHA-256 of it.
    pub(super) hash: String,
    /// What it may use while it is asked what it is.
    pub(super) limits: PluginLimits,
    /// What compiling it may use.
    pub(super) compile: Compile,
    /// Where compiled code is kept.
    pub(super) cache: Option<PathBuf>,
}

impl LoadRequest {
    /// Whether both have the same limits.
    fn same_terms(&self, other: &Self) -> bool {
        self.limits == other.limits && self.compile == other.compile
    }
}

/// What a file is found to be.
pub(super) type Found = Result<Arc<Artifact>, LoadError>;

/// How far a file is.
enum LoadStage {
    Waits(Vec<u8>),
    Runs,
    Ended(Found, Instant),
}

struct FileLoad {
    id: u64,
    name: Arc<str>,
    asked: LoadRequest,
    stage: LoadStage,
    /// How often in a row its compilation was interrupted.
    interrupted: u32,
    /// Told to whoever compiles it.
    given_up: Arc<AtomicBool>,
}

impl FileLoad {
    /// Whether it answers a question: what failed under some limits may do well under others.
    fn answers(&self, asked: &LoadRequest) -> bool {
        let same = self.asked.path == asked.path && self.asked.hash == asked.hash;
        same && match &self.stage {
            LoadStage::Waits(_) | LoadStage::Runs => self.asked.same_terms(asked),
            LoadStage::Ended(Err(error), at) if error.is_passing() => at.elapsed() < self.holds(error),
            LoadStage::Ended(Err(LoadError::Call(_)), _) => self.asked.limits == asked.limits,
            LoadStage::Ended(Err(LoadError::Compile(_)), _) => self.asked.compile == asked.compile,
            LoadStage::Ended(..) => true,
        }
    }

    /// How long a failure holds that passes.
    fn holds(&self, error: &LoadError) -> Duration {
        let [first, most] = INTERRUPTED;
        match error {
            LoadError::Interrupted(_) => {
                let doubled = 2_u32.saturating_pow(self.interrupted.saturating_sub(1));
                first.saturating_mul(doubled).min(most)
            }
            _ => PASSES,
        }
    }

    /// Notes what it is found to be.
    fn end(&mut self, found: Found) {
        self.interrupted = match &found {
            Err(LoadError::Interrupted(_)) => self.interrupted.saturating_add(1),
            _ => 0,
        };
        self.stage = LoadStage::Ended(found, Instant::now());
    }

    fn has_ended(&self) -> bool {
        matches!(self.stage, LoadStage::Ended(..))
    }
}

#[derive(Default)]
struct LoadsState {
    files: Vec<FileLoad>,
    /// The last number that was given.
    last: u64,
    /// Files by number that wait for their turn, and those that are known to take long.
    queue: VecDeque<u64>,
    late: VecDeque<u64>,
    /// How many are being compiled, and how many that take long.
    running: usize,
    long: usize,
    /// Bytes of memory that these may use, and that all may use together.
    taken: u64,
    memory: u64,
    /// What was said last of a cache that can't be used.
    said: Option<String>,
    stopped: bool,
}

impl LoadsState {
    fn find(&mut self, id: u64) -> Option<&mut FileLoad> {
        self.files.iter_mut().find(|file| file.id == id)
    }

    /// Forgets files, and ends what compiles them.
    fn drop_where(&mut self, unwanted: impl Fn(&FileLoad) -> bool) {
        self.files.retain(|file| {
            let goes = unwanted(file);
            if goes {
                file.given_up.store(true, Ordering::Relaxed);
            }
            !goes
        });
    }
}

impl LoadsState {
    /// Forgets what a new question makes useless: what lay in the same place before, and what the same question was
    /// answered. What ended under other limits stays, because two configurations may ask in turn (the one in force and one
    /// that is refused), each of which would undo what the other one found out; but only so much of it. Returns how often
    /// in a row the answer was none.
    fn make_room(&mut self, asked: &LoadRequest) -> u32 {
        let same = |file: &&FileLoad| file.asked.path == asked.path && file.asked.hash == asked.hash;
        let before = self.files.iter().filter(same).find(|file| file.asked.same_terms(asked));
        let interrupted = before.map_or(0, |file| file.interrupted);
        self.drop_where(|file| {
            file.asked.path == asked.path
                && (file.asked.hash != asked.hash || (file.has_ended() && file.asked.same_terms(asked)))
        });
        let ended = |file: &&FileLoad| file.has_ended() && file.asked.path == asked.path;
        let known = self.files.iter().filter(ended).count();
        let oldest: Vec<u64> =
            self.files.iter().filter(ended).map(|file| file.id).take((known + 1).saturating_sub(KEPT)).collect();
        self.drop_where(|file| oldest.contains(&file.id));
        interrupted
    }

    /// The next file that may be compiled: there is room for one more, and memory.
    fn next(&mut self) -> Option<CompileJob> {
        loop {
            let long = self.running >= most() || self.queue.is_empty();
            let id = match long {
                false => *self.queue.front()?,
                true if self.long < most() => *self.late.front()?,
                true => return None,
            };
            // One that is not wanted any more is not there.
            let waits = self.files.iter().find(|file| file.id == id && matches!(file.stage, LoadStage::Waits(_)));
            let memory = waits.map_or(0, |file| file.asked.compile.memory);
            if !self.has_room(memory) {
                return None;
            }
            if long { &mut self.late } else { &mut self.queue }.pop_front();
            let Some(file) = self.find(id) else { continue };
            let LoadStage::Waits(bytes) = std::mem::replace(&mut file.stage, LoadStage::Runs) else { continue };
            let (name, asked, given_up) = (file.name.clone(), file.asked.clone(), file.given_up.clone());
            *if long { &mut self.long } else { &mut self.running } += 1;
            self.taken += memory;
            let (started, postponed) = (Instant::now(), false);
            return Some(CompileJob { id, name, asked, bytes, memory, given_up, started, long, postponed });
        }
    }

    /// Whether there is so much memory left. One alone may have whatever it may have.
    const fn has_room(&self, memory: u64) -> bool {
        self.taken == 0 || self.taken.saturating_add(memory) <= self.memory
    }

    /// Whether a file waits for nothing but memory.
    fn lacks_memory(&self) -> bool {
        let first = self.queue.front().and_then(|id| self.files.iter().find(|file| file.id == *id));
        self.running < most() && first.is_some_and(|file| !self.has_room(file.asked.compile.memory))
    }

    /// One of them is over.
    fn ends(&mut self, job: &mut CompileJob) {
        *if job.long { &mut self.long } else { &mut self.running } -= 1;
        self.taken -= std::mem::take(&mut job.memory);
    }
}

struct Shared {
    host: Arc<Host>,
    state: Mutex<LoadsState>,
    /// One of them has ended.
    ended: Condvar,
    /// The same for who does not block: how many have.
    count: watch::Sender<u64>,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub(super) struct Loads(Arc<Shared>);

/// A file that is being compiled.
struct CompileJob {
    id: u64,
    name: Arc<str>,
    asked: LoadRequest,
    bytes: Vec<u8>,
    /// What it has of the memory for all.
    memory: u64,
    given_up: Arc<AtomicBool>,
    started: Instant,
    /// It is one of those that take long.
    long: bool,
    /// It is to be begun anew later.
    postponed: bool,
}

impl CompileJob {
    fn postpone(&mut self) -> Watch {
        self.postponed = true;
        tracing::info!(plugin = %self.name, "compiling it takes long, and is begun anew after others");
        Watch::GiveUp
    }
}

impl Loads {
    pub(super) fn new(host: Arc<Host>) -> Self {
        let (ended, count) = Default::default();
        let state = Mutex::new(LoadsState { memory: crate::memory::to_compile(), ..LoadsState::default() });
        Self(Arc::new(Shared { host, state, ended, count }))
    }

    /// What the file is found to be; `None` while that is not known. `bytes` are what lies there now.
    pub(super) fn ask(&self, name: &Arc<str>, mut asked: LoadRequest, bytes: Vec<u8>) -> Option<Found> {
        let mut state = self.0.lock();
        asked.compile.memory = asked.compile.memory.min(state.memory);
        if let Some(known) = state.files.iter().find(|file| file.answers(&asked)) {
            return match &known.stage {
                LoadStage::Ended(found, _) => Some(found.clone()),
                LoadStage::Waits(_) | LoadStage::Runs => None,
            };
        }
        if state.stopped {
            return Some(Err(LoadError::Host("the gateway is ending".to_owned())));
        }
        let interrupted = state.make_room(&asked);
        state.last += 1;
        let id = state.last;
        let (name, given_up) = (name.clone(), Arc::default());
        state.files.push(FileLoad { id, name, asked, stage: LoadStage::Waits(bytes), interrupted, given_up });
        state.queue.push_back(id);
        self.0.start(&mut state);
        None
    }

    /// Waits until nothing of these plugins is being compiled.
    pub(super) fn wait(&self, names: &[Arc<str>]) {
        let busy = |state: &mut LoadsState| {
            !state.stopped && state.files.iter().any(|file| !file.has_ended() && names.contains(&file.name))
        };
        let state = self.0.ended.wait_while(self.0.lock(), busy);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes each time that one has ended.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.0.count.subscribe()
    }

    /// Forgets other plugins than these, by name and file, and ends their compilation.
    pub(super) fn retain(&self, wanted: impl Fn(&str, &Path) -> bool) {
        self.0.lock().drop_where(|file| !wanted(&file.name, &file.asked.path));
    }

    /// Ends everything, for good.
    pub(super) fn stop(&self) {
        let mut state = self.0.lock();
        state.stopped = true;
        state.drop_where(|file| !file.has_ended());
        drop(state);
        self.0.ended.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, LoadsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts as many as there are turns for, each on a thread of its own.
    fn start(self: &Arc<Self>, state: &mut LoadsState) {
        while let Some(job) = state.next() {
            let (shared, id, long, memory) = (self.clone(), job.id, job.long, job.memory);
            let thread = std::thread::Builder::new().name("plugin-load".to_owned()).stack_size(STACK);
            let Err(error) = thread.spawn(move || shared.run(job)) else { continue };
            *if long { &mut state.long } else { &mut state.running } -= 1;
            state.taken -= memory;
            let found = Err(LoadError::Host(format!("cannot start a thread to load it: {error}")));
            if let Some(file) = state.find(id) {
                file.end(found);
            }
            self.tell();
        }
    }

    fn tell(&self) {
        self.ended.notify_all();
        self.count.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Loads a file, and begins with the next.
    fn run(self: Arc<Self>, mut job: CompileJob) {
        // A panic is no reason to stop serving: it costs this file.
        let found = catch_unwind(AssertUnwindSafe(|| self.load(&mut job)))
            .unwrap_or_else(|_| Err(LoadError::Invalid("loading it failed; the log tells where".to_owned())));
        if job.long && !job.given_up.load(Ordering::Relaxed) {
            let (took, error) = (job.started.elapsed(), found.as_ref().err());
            tracing::info!(plugin = %job.name, ?took, error = error.map(tracing::field::display), "compiling it has ended");
        }
        let mut state = self.lock();
        state.ends(&mut job);
        if let Some(file) = state.find(job.id) {
            if job.postponed {
                file.stage = LoadStage::Waits(job.bytes);
                state.late.push_back(job.id);
            } else {
                file.end(found);
            }
        }
        self.start(&mut state);
        drop(state);
        self.tell();
    }

    /// From the cache, or compiled.
    fn load(self: &Arc<Self>, job: &mut CompileJob) -> Found {
        let missing = || LoadError::Host("no program is named that compiles plugins".to_owned());
        let compiler = self.host.options.compiler.as_ref().ok_or_else(missing)?;
        let cache = job.asked.cache.clone().and_then(|directory| self.cache(&directory));
        let key = key(compiler, &job.asked.hash);
        let texts = Arc::new(Texts::of(&job.bytes));
        if let Some((cache, key)) = cache.as_ref().zip(key.as_ref())
            && let Some(made) = cache.get(key)
        {
            match self.artifact(job, &made, &texts) {
                // It may come from an engine of other settings.
                Err(error) => tracing::debug!(plugin = %job.name, %error, "the compiled plugin is of no use"),
                found => return found,
            }
        }
        let (limits, allowed) = (job.asked.limits.clone(), job.asked.compile);
        let bytes = std::mem::take(&mut job.bytes);
        let made = compile(compiler, &bytes, &limits, &allowed, |progress| self.watch(job, progress));
        if job.postponed {
            job.bytes = bytes;
        }
        let made = made?;
        let found = self.artifact(job, &made, &texts);
        if let (Ok(_), Some((cache, key))) = (&found, cache.zip(key))
            && let Err(error) = cache.put(&key, &made)
        {
            self.warn(format!("the compiled plugin can't be kept for the next start: {error}"));
        }
        found
    }

    fn artifact(&self, job: &CompileJob, made: &Precompiled, texts: &Arc<Texts>) -> Found {
        let artifact = Artifact::load(&self.host, &job.asked.hash, made, texts.clone())?;
        if *artifact.name == *job.name {
            return Ok(Arc::new(artifact));
        }
        let (found, name) = (sanitise(&artifact.name, 100), &job.name);
        Err(LoadError::Manifest(format!(
            "calls itself `{found}` in `describe`, but the file is {name}.wasm; name both alike"
        )))
    }

    /// Looks at a compilation that runs.
    fn watch(self: &Arc<Self>, job: &mut CompileJob, progress: &Progress) -> Watch {
        if job.given_up.load(Ordering::Relaxed) {
            return Watch::GiveUp;
        }
        if progress.elapsed < LONG {
            return Watch::GoOn;
        }
        let mut state = self.lock();
        if state.lacks_memory() {
            // It has none any more in a moment; one that makes room is enough.
            state.taken -= std::mem::take(&mut job.memory);
            return job.postpone();
        }
        if job.long {
            return Watch::GoOn;
        }
        if state.long < most() {
            job.long = true;
            state.long += 1;
            state.running -= 1;
            self.start(&mut state);
            drop(state);
            let (elapsed, memory) = (progress.elapsed, progress.memory.map(|bytes| bytes >> 20));
            tracing::info!(plugin = %job.name, ?elapsed, memory_mib = memory, "compiling it takes long");
        } else if !state.queue.is_empty() {
            return job.postpone();
        }
        Watch::GoOn
    }

    /// The cache. One that can't be used is no reason not to serve, and is told of once.
    fn cache(&self, directory: &Path) -> Option<Cache> {
        let opened = match self.host.options.makes_cache {
            true => Cache::open(directory).map(Some),
            false => Cache::find(directory),
        };
        match opened {
            Ok(cache) => cache,
            Err(error) => {
                self.warn(format!(
                    "compiled plugins are not kept, each start compiles them anew: {error}. Another directory can be named \
                     with plugins.cache"
                ));
                None
            }
        }
    }

    fn warn(&self, text: String) {
        let mut state = self.lock();
        if state.said.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            state.said = Some(text);
        }
    }
}

/// Where the cache has a file's code: what another build of the program made is another's.
fn key(compiler: &Compiler, hash: &str) -> Option<String> {
    compiler.build().ok().map(|build| format!("{hash}-{build}"))
}

#[cfg(test)]
mod tests;
