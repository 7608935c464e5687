//! Reading a file that somebody else writes: what is no regular file, or too large, is an error and not a wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `limit` bytes. A pipe or a device is refused before it can block.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(&mut open(path)?, limit)
}

/// The same of a file that somebody may be writing: `None` where it changed meanwhile. One that was replaced by another
/// file did not.
pub(crate) fn read_settled(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut file = open(path)?;
    // Not the time of its inode's last change: being unlinked changes that.
    let state = |file: &File| file.metadata().and_then(|state| Ok((state.len(), state.modified()?)));
    let before = state(&file)?;
    let bytes = read(&mut file, limit)?;
    Ok((state(&file)? == before && bytes.len() as u64 == before.0).then_some(bytes))
}

fn read(file: &mut File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
    if length > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for its other end.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_never_ends_or_never_begins_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [pipe.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert!(read_regular(path, 1000).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_read_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200u8 {
                    let part = directory.path().join("part");
                    fs::write(&part, vec![round; 100_000]).unwrap();
                    fs::rename(&part, &path).unwrap();
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                match read_settled(&path, 1 << 20) {
                    Ok(bytes) => assert_eq!(bytes.expect("nobody writes into it").len(), 100_000),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "only before the first"),
                }
            }
        });
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
