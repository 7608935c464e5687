//! The gateway's side of a compilation: starts the process, watches what it uses, and takes what it made.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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

/// Ends and reaps the process, however the function is left that started it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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

    /// What tells this build of the program from others: length and time of its file.
    pub fn build(&self) -> io::Result<String> {
        use std::os::unix::fs::MetadataExt as _;
        let file = std::fs::metadata(&self.program)?;
        Ok(format!("{:x}-{:x}-{:x}", file.len(), file.mtime(), file.mtime_nsec()))
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
        let mut child = Running(command.spawn().map_err(Failure::Start)?);
        let status = self.wait(&mut child.0, &job.limits, &mut watch)?;
        drop(child);
        judge(status, output, errors, &job.limits)
    }

    /// Waits for its end, and ends it where it uses too much.
    fn wait(
        &self,
        child: &mut Child,
        limits: &Limits,
        watch: &mut impl FnMut(&Progress) -> Watch,
    ) -> Result<ExitStatus, Failure> {
        let started = Instant::now();
        let [mut pause, longest] = LOOKS;
        loop {
            if let Some(status) = child.try_wait().map_err(Failure::Start)? {
                return Ok(status);
            }
            let elapsed = started.elapsed();
            let memory = memory(child.id());
            if memory.is_some_and(|memory| memory > limits.memory) {
                return Err(Failure::Memory);
            }
            if cpu(child.id()).is_some_and(|cpu| cpu > limits.time) {
                return Err(Failure::Time);
            }
            if elapsed > limits.clock() {
                return Err(Failure::Clock);
            }
            if watch(&Progress { elapsed, memory }) == Watch::GiveUp {
                return Err(Failure::GivenUp);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}

/// What its end means.
fn judge(status: ExitStatus, mut output: File, errors: File, limits: &Limits) -> Result<Answer, Failure> {
    let said = last_words(errors);
    match status.signal().and_then(rustix::process::Signal::from_named_raw) {
        None => {}
        // The words are those of Rust's own runtime; what they come from is the same signal.
        Some(_) if said.contains("has overflowed its stack") => return Err(Failure::Stack),
        Some(_) if said.contains("memory allocation of") => return Err(Failure::Memory),
        Some(rustix::process::Signal::XCPU) => return Err(Failure::Time),
        Some(rustix::process::Signal::XFSZ) => return Err(Failure::Code),
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
