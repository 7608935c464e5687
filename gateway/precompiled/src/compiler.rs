//! The gateway's side of a compilation: starts the process, watches what it uses, and takes what it made.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use wait4::{ResUse, Wait4 as _};

use super::code::{HEAD, Precompiled};
use super::served::{COMPILED, REFUSED, Request};

/// A program that answers to [`serve`](super::serve): the one that runs, as a rule.
///
/// What it writes is run as code, so naming a program here trusts it as much as naming it in a `Command` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    program: PathBuf,
    command: &'static str,
}

/// What a compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// CPU time; by the clock it may be [`CLOCK`] times as long, because a busy machine is not the file's fault.
    pub time: Duration,
}

/// See [`Limits::time`].
const CLOCK: u32 = 10;
/// What of the memory the code may have that comes out: it stays in the gateway's memory.
const CODE_SHARE: u64 = 8;

impl Limits {
    /// Time by the clock.
    pub fn clock(&self) -> Duration {
        self.time.saturating_mul(CLOCK)
    }

    /// Bytes of code.
    pub fn code(&self) -> u64 {
        self.memory / CODE_SHARE
    }
}

/// What is to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What it may use.
    pub limits: Limits,
    /// What the caller tells its other half.
    pub about: &'a [u8],
    /// The file.
    pub bytes: &'a [u8],
}

/// What the process said.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It compiled the file.
    Compiled(Precompiled),
    /// It refused the file, and why, in the words of the caller's other half.
    Refused(Vec<u8>),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The process could not be started.
    #[error("{0}")]
    Start(io::Error),
    /// CPU time.
    #[error("more CPU time than allowed")]
    Time,
    /// Time by the clock.
    #[error("longer than allowed")]
    Clock,
    /// Memory.
    #[error("more memory than allowed")]
    Memory,
    /// The code that it made.
    #[error("more code than allowed")]
    Code,
    /// The stack.
    #[error("overflowed its stack")]
    Stack,
    /// A signal that is none of the above.
    #[error("ended by signal {0}")]
    Signal(i32),
    /// It ended as it never should, with what it said last.
    #[error("failed: {0}")]
    Defect(String),
    /// The caller gave it up.
    #[error("given up")]
    GivenUp,
}

/// How far a compilation is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How long it runs, by the clock.
    pub elapsed: Duration,
    /// The memory that it has now, where that can be known.
    pub memory: Option<u64>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It goes on.
    GoOn,
    /// It is ended.
    GiveUp,
}

/// The process, until it is reaped: from then on its number may be another's.
struct Running(Option<Child>);

impl Running {
    /// How it ended and what it used, if it has ended.
    fn ended(&mut self) -> io::Result<Option<ResUse>> {
        let Some(child) = &mut self.0 else { return Ok(None) };
        let ended = child.try_wait4()?;
        if ended.is_some() {
            self.0 = None;
        }
        Ok(ended)
    }

    /// Ends it. What it used, where that is known.
    fn end(&mut self) -> Option<ResUse> {
        let mut child = self.0.take()?;
        let _ = child.kill();
        child.wait4().ok()
    }
}

/// However the function is left that started it.
impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// CPU time.
fn cpu_of(used: &ResUse) -> Duration {
    used.rusage.utime + used.rusage.stime
}

/// The environment of the process: nothing of the gateway's, which may hold secrets, but what a program needs to start.
const KEPT: [&str; 2] = ["LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"];
/// The allocator reserves address space by the gigabyte. It counts as memory once it may be written, so that comes late.
const ALLOCATOR: [(&str, &str); 2] = [("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MIMALLOC_EAGER_COMMIT", "0")];
/// How often it is looked at, at first and later.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(25)];
/// Bytes of what it said last that are kept.
const LAST_WORDS: u64 = 4 << 10;

impl Compiler {
    /// This program, also after its file was replaced by another version. `command` is the argument with which it calls
    /// [`serve`](super::serve).
    pub fn this_program(command: &'static str) -> Self {
        // Not what `current_exe` says: that is a path, where another version may lie by now.
        let running = Path::new("/proc/self/exe");
        let program = if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() };
        Self { program: program.unwrap_or_else(|_| running.to_owned()), command }
    }

    /// A program of the same build as this one.
    pub fn at(program: impl Into<PathBuf>, command: &'static str) -> Self {
        Self { program: program.into(), command }
    }

    /// What tells this build of the program from others: the SHA-256 of its file. Length and time would not, where an
    /// image or an archive has the same time in all files.
    ///
    /// The file is read once, and again where it is another one than before.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn build(&self) -> io::Result<String> {
        use std::os::unix::fs::MetadataExt as _;
        static KNOWN: Mutex<Vec<(PathBuf, [i64; 3], String)>> = Mutex::new(Vec::new());
        let mut file = File::open(&self.program)?;
        let metadata = file.metadata()?;
        let state = [metadata.ino().cast_signed(), metadata.ctime(), metadata.ctime_nsec()];
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., hash)) = known.iter().find(|(path, then, _)| *path == self.program && *then == state) {
            return Ok(hash.clone());
        }
        let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                length => context.update(&buffer[..length]),
            }
        }
        let hash: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        known.retain(|(path, ..)| *path != self.program);
        known.push((self.program.clone(), state, hash.clone()));
        Ok(hash)
    }

    /// Compiles a file in a process of its own. Blocks until that has ended, however it ends; `watch` is asked every few
    /// milliseconds.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn run(&self, job: &Job<'_>, mut watch: impl FnMut(&Progress) -> Watch) -> Result<Answer, Failure> {
        let request = Request { limits: job.limits, parent: std::process::id(), about: job.about.to_vec() };
        let mut input = scratch().map_err(Failure::Start)?;
        let output = scratch().map_err(Failure::Start)?;
        let errors = scratch().map_err(Failure::Start)?;
        request.write(&mut input, job.bytes).map_err(Failure::Start)?;
        let copy = |file: &File| file.try_clone().map(Stdio::from).map_err(Failure::Start);
        let mut command = Command::new(&self.program);
        command.arg0("gateway").arg(self.command);
        command.stdin(input).stdout(copy(&output)?).stderr(copy(&errors)?);
        command.env_clear().envs(ALLOCATOR);
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // A signal from the terminal is for the gateway, which ends this one.
        command.current_dir("/").process_group(0);
        let child = command.spawn().map_err(Failure::Start)?;
        let used = wait(child, &job.limits, &mut watch)?;
        judge(&used, output, errors, &job.limits)
    }
}

/// Waits for its end, and ends it where it uses too much.
fn wait(child: Child, limits: &Limits, watch: &mut impl FnMut(&Progress) -> Watch) -> Result<ResUse, Failure> {
    let (process, mut child) = (child.id(), Running(Some(child)));
    let started = Instant::now();
    let [mut pause, longest] = LOOKS;
    loop {
        if let Some(used) = child.ended().map_err(Failure::Start)? {
            return Ok(used);
        }
        let elapsed = started.elapsed();
        let memory = memory(process);
        if memory.is_some_and(|memory| memory > limits.memory) {
            return Err(Failure::Memory);
        }
        if cpu(process).is_some_and(|cpu| cpu > limits.time) {
            return Err(Failure::Time);
        }
        if elapsed > limits.clock() {
            // Where /proc tells nothing, this is the first that is known of it.
            let too_much = child.end().is_some_and(|used| cpu_of(&used) > limits.time);
            return Err(if too_much { Failure::Time } else { Failure::Clock });
        }
        if watch(&Progress { elapsed, memory }) == Watch::GiveUp {
            return Err(Failure::GivenUp);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}

/// What its end means.
fn judge(used: &ResUse, mut output: File, errors: File, limits: &Limits) -> Result<Answer, Failure> {
    let (said, status) = (last_words(errors), used.status);
    match status.signal().and_then(rustix::process::Signal::from_named_raw) {
        None => {}
        // The words are those of Rust's own runtime; what they come from is the same signal.
        Some(_) if said.contains("has overflowed its stack") => return Err(Failure::Stack),
        Some(_) if said.contains("memory allocation of") => return Err(Failure::Memory),
        Some(rustix::process::Signal::XCPU) => return Err(Failure::Time),
        Some(rustix::process::Signal::XFSZ) => return Err(Failure::Code),
        // Who kills does not say why: the limit of this process, or a system that runs out of memory.
        Some(rustix::process::Signal::KILL) if cpu_of(used) > limits.time => return Err(Failure::Time),
        Some(rustix::process::Signal::KILL) if used.rusage.maxrss > limits.memory => return Err(Failure::Memory),
        Some(_) => {}
    }
    if let Some(signal) = status.signal() {
        return Err(Failure::Signal(signal));
    }
    let defect =
        |what: &str| Failure::Defect(format!("{what} ({status}){}{said}", if said.is_empty() { "" } else { ": " }));
    if !status.success() {
        return Err(defect("it ended without an answer"));
    }
    let length = output.stream_position().and_then(|_| output.metadata()).map_err(Failure::Start)?.len();
    if length > limits.code() + HEAD as u64 + (1 << 20) {
        return Err(Failure::Code);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    output.rewind().and_then(|()| output.read_to_end(&mut bytes)).map_err(Failure::Start)?;
    match bytes.pop() {
        Some(COMPILED) => Precompiled::read(bytes).map(Answer::Compiled).ok_or_else(|| defect("its answer is damaged")),
        Some(REFUSED) => Ok(Answer::Refused(bytes)),
        _ => Err(defect("its answer is damaged")),
    }
}

/// The end of what it wrote to its standard error.
fn last_words(mut file: File) -> String {
    let mut bytes = Vec::new();
    let start = file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(LAST_WORDS));
    let read = file.seek(io::SeekFrom::Start(start)).and_then(|_| file.take(LAST_WORDS).read_to_end(&mut bytes));
    let text = if read.is_ok() { String::from_utf8_lossy(&bytes) } else { "".into() };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A file without a name that ends with its last holder.
fn scratch() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if let Ok(file) = rustix::fs::memfd_create("plugin", rustix::fs::MemfdFlags::CLOEXEC) {
        return Ok(file.into());
    }
    tempfile::tempfile()
}

/// Memory of a process that is its own alone: of what it shares with this one, its program, nothing counts.
fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kilobytes("RssAnon")? + kilobytes("RssShmem")?) << 10)
}

/// CPU time of a process. The kernel counts in hundredths of a second towards programs, whatever it does itself.
fn cpu(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; `utime` and `stime` are the 12th and 13th field after it.
    let ticks: u64 =
        stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}

impl Request {
    /// Writes it with the file behind it, and goes back to the beginning.
    fn write(&self, to: &mut File, bytes: &[u8]) -> io::Result<()> {
        to.write_all(&self.head())?;
        to.write_all(bytes)?;
        to.rewind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory: 1 << 30, time: Duration::from_secs(1) };

    /// What is said of a process of the shell that ends by this script.
    fn ended(script: &str, limits: &Limits) -> Failure {
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let used = Running(Some(child)).0.take().unwrap().wait4().unwrap();
        judge(&used, tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap(), limits).unwrap_err()
    }

    #[test]
    fn what_killed_a_process_is_told_by_what_it_had_used() {
        assert!(matches!(ended("kill -9 $$", &LIMITS), Failure::Signal(9)));
        assert!(matches!(ended("kill -9 $$", &Limits { time: Duration::ZERO, ..LIMITS }), Failure::Time));
        assert!(matches!(ended("kill -9 $$", &Limits { memory: 1, ..LIMITS }), Failure::Memory));
        assert!(matches!(ended("kill -XCPU $$", &LIMITS), Failure::Time));
    }

    #[test]
    fn a_process_that_waits_is_not_said_to_have_used_its_time() {
        let limits = Limits { time: Duration::from_millis(10), ..LIMITS };
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let ended = wait(child, &limits, &mut |_| Watch::GoOn);
        assert!(matches!(ended, Err(Failure::Clock)), "{ended:?}");
    }

    #[test]
    fn builds_of_the_same_length_and_time_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH;
        let build = |name: &str, bytes: &[u8]| {
            let path = home.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            Compiler::at(path, "compile").build().unwrap()
        };
        let (one, other) = (build("one", b"build 1"), build("other", b"build 2"));
        assert_ne!(one, other);
        assert_eq!(build("a copy", b"build 1"), one);
        assert_eq!(build("one", b"build 2"), other, "another one in the same place");
    }
}
