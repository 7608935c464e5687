//! The other side of a compilation: the process that is started for it. It limits itself before it reads a byte of the
//! file, and answers on its standard output.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};

use super::code::Precompiled;
use super::compiler::Limits;

/// What is asked before the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) limits: Limits,
    /// Who asks: whoever else is the parent later has inherited this process.
    pub(crate) parent: u32,
    pub(crate) about: Vec<u8>,
}

/// The last byte of an answer that holds code.
pub(crate) const COMPILED: u8 = b'C';
/// The last byte of an answer that is a refusal.
pub(crate) const REFUSED: u8 = b'R';

/// Stack of the thread that does the work. The threads that load what it made have 2 MiB, so what is too deep for one of
/// those is too deep here.
const STACK: usize = 1536 << 10;
/// How much later than other processes of the same wish it is served, of 19.
const NICENESS: i32 = 5;
/// Files that it may have open.
const FILES: u64 = 64;

impl Request {
    /// What stands before the file: four numbers of eight bytes, little-endian, then `about`.
    pub(crate) fn head(&self) -> Vec<u8> {
        let time = u64::try_from(self.limits.time.as_micros()).unwrap_or(u64::MAX);
        let numbers = [self.limits.memory, time, u64::from(self.parent), self.about.len() as u64];
        let mut head: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        head.extend_from_slice(&self.about);
        head
    }

    fn read(from: &mut impl io::Read) -> io::Result<Self> {
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let (memory, time, parent, length) = (number()?, number()?, number()?, number()?);
        let mut about = Vec::new();
        from.take(length.min(1 << 20)).read_to_end(&mut about)?;
        let limits = Limits { memory, time: Duration::from_micros(time) };
        Ok(Self { limits, parent: u32::try_from(parent).map_err(io::Error::other)?, about })
    }
}

/// Answers one request: `work` is given what the asking side told it, and the file.
///
/// Exits with 0 where there is an answer, a refusal included.
pub fn serve<F>(work: F) -> ExitCode
where
    F: FnOnce(&[u8], &[u8]) -> Result<Precompiled, Vec<u8>> + Send,
{
    match answer(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn answer<F>(work: F) -> io::Result<()>
where
    F: FnOnce(&[u8], &[u8]) -> Result<Precompiled, Vec<u8>> + Send,
{
    let mut input = io::stdin().lock();
    let request = Request::read(&mut input)
        .map_err(|error| io::Error::other(format!("the gateway runs this command for itself, not for you: {error}")))?;
    limit(&request)?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let made = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("compile".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, || work(&request.about, &bytes)).map(|thread| thread.join())
    })?;
    let (mut answer, kind) = match made {
        Ok(Ok(made)) if made.code.len() as u64 > request.limits.code() => {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Ok(made)) => (made.write(), COMPILED),
        Ok(Err(refusal)) => (refusal, REFUSED),
        // The panic has told what it was.
        Err(_) => return Err(io::Error::other("a panic")),
    };
    answer.push(kind);
    let mut output = io::stdout().lock();
    output.write_all(&answer)?;
    output.flush()
}

/// Takes from this process what it does not need.
fn limit(request: &Request) -> io::Result<()> {
    let seconds = request.limits.time.as_secs().saturating_add(2);
    // What may be written and is not shared: the heap, stacks, the memories of guests. What is only reserved does not
    // count, of which there is much: so this is near to the memory that is really there, and address space is not.
    set(Resource::Data, request.limits.memory)?;
    // The soft limit says what it was by its signal (SIGXCPU), the hard one only kills.
    set_both(Resource::Cpu, seconds, seconds.saturating_add(2))?;
    // Smaller than any core. Zero does not hold where cores go to a program, one does: see core(5).
    set(Resource::Core, 1)?;
    set(Resource::Nofile, FILES)?;
    set(Resource::Fsize, request.limits.code().saturating_add(1 << 20))?;
    // Best effort from here on: none of it is what bounds.
    let _ = rustix::process::nice(NICENESS);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::Signal;
        // Where memory runs out, this process goes and not the gateway.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // It may have died before that was said.
        let parent = rustix::process::getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
        if parent.is_some_and(|parent| parent != request.parent) {
            return Err(io::Error::other("whoever asked is gone"));
        }
    }
    Ok(())
}

/// Lowers a limit. One that is lower already stays.
fn set(resource: Resource, most: u64) -> io::Result<()> {
    set_both(resource, most, most)
}

/// The same of a limit that is told of before it holds.
fn set_both(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let lower = |limit: Option<u64>, most: u64| Some(limit.map_or(most, |limit| limit.min(most)));
    let wanted = Rlimit { current: lower(now.current, soft), maximum: lower(now.maximum, hard) };
    rustix::process::setrlimit(resource, wanted).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let request = Request {
            limits: Limits { memory: 1 << 30, time: Duration::from_millis(1500) },
            parent: 77,
            about: b"{}".to_vec(),
        };
        let mut head = request.head();
        head.extend_from_slice(b"the file");
        let mut from = head.as_slice();
        assert_eq!(Request::read(&mut from).unwrap(), request);
        assert_eq!(from, b"the file");
        assert!(Request::read(&mut &head[..20]).is_err());
    }
}
