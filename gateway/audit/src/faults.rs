//! A disk that a test can hold back, fill and break: for tests of this crate and of whoever uses it. It never syncs for real,
//! which no test could see, and every test would wait for.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::storage::{Appender, Disk, Storage};

/// A disk with faults. Clones are of the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    waiting: u64,
    failing_syncs: u64,
    room: Option<u64>,
    syncs: u64,
}

impl FaultyDisk {
    /// A disk without faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on no sync of a file returns, until [`Self::release_syncs`].
    pub fn hold_syncs(&self) {
        self.state().held = true;
    }

    /// Lets those that are held go on.
    pub fn release_syncs(&self) {
        self.state().held = false;
        self.0.changed.notify_all();
    }

    /// Returns when a sync has begun and is held.
    pub fn wait_for_held_sync(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next so many syncs of files fail.
    pub fn fail_syncs(&self, count: u64) {
        self.state().failing_syncs = count;
    }

    /// So many bytes can still be written; `None` for as many as there are.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// How many syncs of files have been asked for.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// As much of what is to be written as there is room for.
    fn take_room(&self, wanted: usize) -> usize {
        match &mut self.state().room {
            Some(room) => {
                let taken = usize::try_from(*room).unwrap_or(usize::MAX).min(wanted);
                *room -= taken as u64;
                taken
            }
            None => wanted,
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        state.waiting += 1;
        self.0.changed.notify_all();
        while state.held {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("the disk failed (a test made it)"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn Appender>,
    disk: FaultyDisk,
}

impl Appender for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = self.disk.take_room(bytes.len());
        self.file.write_all(&bytes[..taken])?;
        if taken < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl Storage for FaultyDisk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Disk.make_directory(path)
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Appender>> {
        Ok(Box::new(FaultyFile { file: Disk.create(path, mode)?, disk: self.clone() }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Appender>> {
        Ok(Box::new(FaultyFile { file: Disk.append(path)?, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(length)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let room = self.state().room;
        room.map_or_else(|| Disk.free_space(path), Ok)
    }
}
