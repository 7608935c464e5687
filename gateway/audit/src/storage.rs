//! The seam between the ledger and the disk: what is written, and when it is on disk. Tests hold it back and make it fail.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// A file that is only ever added to.
pub trait Appender: Send + fmt::Debug {
    /// Adds bytes; some of them may have been written where it fails.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written is on disk (`fdatasync`). Once it has failed nothing is known of what was written
    /// since it last succeeded, and another call may succeed all the same
    /// (<https://wiki.postgresql.org/wiki/Fsync_Errors>): the file must not be written again.
    fn sync(&mut self) -> io::Result<()>;
}

/// What the ledger asks of a file system, apart from reading.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Makes a directory that only the owner and its group may look into, with those above it.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes an empty file, or empties one, with these permissions.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Appender>>;

    /// Opens a file to add to it.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Appender>>;

    /// Gives a file another name, at once, in place of any that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns when the names in a directory are on disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Cuts a file to a length, and returns when that is on disk.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Removes a file; one that is not there is removed already.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// How many bytes may still be written where this path is.
    fn free_space(&self, path: &Path) -> io::Result<u64>;
}

/// A real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Appender for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Storage for Disk {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn Appender>> {
        // Not the permissions of a file that somebody else may have put there.
        self.remove(path)?;
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).mode(mode).open(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Appender>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Writes a whole file so that its name always leads to all of the old or all of the new content.
pub(crate) fn replace(storage: &dyn Storage, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = storage.create(&new, mode)?;
    file.write_all(content)?;
    file.sync()?;
    storage.rename(&new, path)?;
    storage.sync_directory(path.parent().unwrap_or(Path::new(".")))
}
