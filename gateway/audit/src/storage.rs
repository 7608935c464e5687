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
    /// Makes a directory that only the owner and its group may look into, with those above it, and returns when their names
    /// are on disk.
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
        if path.is_dir() {
            return Ok(());
        }
        // What is synced in a directory is lost with it, so each has its name on disk first.
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.make_directory(above)?;
        match fs::DirBuilder::new().mode(0o750).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_directory(above),
        }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn directories_are_made_with_those_above_and_are_no_strangers_business() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/c");
        Disk.make_directory(&deep).unwrap();
        Disk.make_directory(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o007, 0);
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(Disk.make_directory(&directory.path().join("file/a")).is_err());
        assert!(Disk.make_directory(&directory.path().join("file")).is_err());
    }

    #[test]
    fn a_file_is_replaced_at_once_and_an_old_one_lends_no_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        fs::write(path.with_extension("new"), "left behind").unwrap();
        fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(0o666)).unwrap();
        replace(&Disk, &path, 0o600, b"content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!path.with_extension("new").exists());
        assert!(Disk.free_space(&path).unwrap() > 0);
        Disk.remove(&path).unwrap();
        Disk.remove(&path).unwrap();
    }
}
