//! A log in a file that others may move away, remove or cut while it is written.
//!
//! It is opened for appending, so that a file which was copied and cut (`copytruncate`) goes on at its new end. On SIGHUP it
//! is opened anew. Beside that the writer looks once a second whether the path still leads to the open file: where another
//! one lies there, that is taken up; where none does for two looks, it is made again. At the first look it may be that whoever
//! rotates logs has moved it and is about to make the next one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::append::{Appender, Lost, count};

/// How often the path is looked at, while there is something to write.
const LOOK: Duration = Duration::from_secs(1);

/// A log in a file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Appender<File>,
    looked: Instant,
    /// The path led nowhere at the last look.
    gone: bool,
    /// Why the file could not be made again, where the open one is in no directory any more.
    orphaned: Option<ErrorKind>,
    /// Lines that were cut when the file was left.
    cut: u64,
}

impl LogFile {
    /// Opens it; it is made where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = Appender::new(open(path)?);
        Ok(Self { path: path.to_owned(), file, looked: Instant::now(), gone: false, orphaned: None, cut: 0 })
    }

    /// Opens the path anew. On an error the open file is kept: it may have been moved, and go on elsewhere.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match open(&self.path) {
            Ok(file) => {
                self.cut += u64::from(self.file.replace(file));
                (self.gone, self.orphaned) = (false, None);
                Ok(())
            }
            Err(error) => {
                let is_orphan = self.file.get().metadata().is_ok_and(|open| open.nlink() == 0);
                self.orphaned = is_orphan.then_some(error.kind());
                Err(error)
            }
        }
    }

    /// Appends lines.
    pub(super) fn write(&mut self, lines: &[u8], now: Instant) -> Result<(), Lost> {
        if now.saturating_duration_since(self.looked) >= LOOK {
            self.looked = now;
            self.look();
        }
        if let Some(kind) = self.orphaned {
            // Nobody would ever see them.
            return Err(Lost { lines: count(lines), error: kind.into() });
        }
        let cut = std::mem::take(&mut self.cut);
        match self.file.append(lines) {
            Ok(()) if cut > 0 => Err(Lost { lines: cut, error: io::Error::other("the file was left within a line") }),
            Ok(()) => Ok(()),
            Err(lost) => Err(Lost { lines: lost.lines + cut, ..lost }),
        }
    }

    /// Follows the path, where it leads to another file or to none.
    fn look(&mut self) {
        match std::fs::metadata(&self.path) {
            Ok(there) if is_same(&there, self.file.get()) => self.gone = false,
            Ok(_) => drop(self.reopen()),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.gone => self.gone = true,
            Err(_) => drop(self.reopen()),
        }
    }
}

fn is_same(there: &Metadata, open: &File) -> bool {
    open.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Others than the owner and its group have no business in who asked for what.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log, and a clock that the test moves.
    struct Scene {
        directory: tempfile::TempDir,
        log: LogFile,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join("logs")).unwrap();
            let log = LogFile::open(&directory.path().join("logs/a.log")).unwrap();
            Self { directory, log, now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join("logs").join(name)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        /// Writes after the next look.
        fn write(&mut self, lines: &str) -> Result<(), Lost> {
            self.now += LOOK;
            self.log.write(lines.as_bytes(), self.now)
        }
    }

    #[test]
    fn a_copied_and_cut_file_goes_on_at_its_new_end() {
        let mut scene = Scene::new();
        scene.write("one\n").unwrap();
        std::fs::copy(scene.path("a.log"), scene.path("a.log.1")).unwrap();
        File::options().write(true).truncate(true).open(scene.path("a.log")).unwrap();
        scene.write("two\n").unwrap();
        assert_eq!((scene.read("a.log.1"), scene.read("a.log")), ("one\n".to_owned(), "two\n".to_owned()));
    }

    #[test]
    fn another_file_in_its_place_is_taken_up_and_a_removed_one_is_made_again_at_the_second_look() {
        let mut scene = Scene::new();
        scene.write("one\n").unwrap();
        std::fs::rename(scene.path("a.log"), scene.path("a.log.1")).unwrap();
        scene.write("two\n").unwrap();
        assert!(!scene.path("a.log").exists(), "whoever moved it may be about to make the next one");
        File::create(scene.path("a.log")).unwrap();
        scene.write("three\n").unwrap();
        assert_eq!((scene.read("a.log.1"), scene.read("a.log")), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
        std::fs::remove_file(scene.path("a.log")).unwrap();
        scene.write("lost with the file\n").unwrap();
        scene.write("four\n").unwrap();
        assert_eq!(scene.read("a.log"), "four\n");
    }

    #[test]
    fn without_its_directory_lines_are_counted_until_it_is_back() {
        let mut scene = Scene::new();
        std::fs::remove_dir_all(scene.path("")).unwrap();
        scene.write("one\n").unwrap();
        assert_eq!(scene.write("two\nthree\n").unwrap_err().lines, 2);
        std::fs::create_dir(scene.path("")).unwrap();
        scene.write("four\n").unwrap();
        assert_eq!(scene.read("a.log"), "four\n");
    }

    #[test]
    fn a_moved_file_goes_on_where_the_path_can_not_be_opened() {
        let mut scene = Scene::new();
        let elsewhere = scene.directory.path().join("moved.log");
        std::fs::rename(scene.path("a.log"), &elsewhere).unwrap();
        std::fs::remove_dir(scene.path("")).unwrap();
        assert!(scene.log.reopen().is_err());
        scene.write("one\n").unwrap();
        assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "one\n");
    }
}
