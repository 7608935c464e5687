//! Compiled code that outlives the process: a file per key in a private directory, bounded in bytes and age.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::code::Precompiled;
use super::private::{NotPrivate, PrivateDirectory};

/// What its files are called, so that nothing else is ever removed.
const EXTENSION: &str = "code";
/// Bytes of all files together: what was used last stays.
const MOST_BYTES: u64 = 512 << 20;
/// How long a file stays that nobody has asked for.
const MOST_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How files begin that are being written.
const PART: &str = ".part-";
/// How old one of those is whose writer was killed.
const MOST_PART_AGE: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PrivateDirectory,
}

impl Cache {
    /// Opens the cache in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// Where the directory can't be made, or is not this process' user's alone: see [`PrivateDirectory::open`].
    pub fn open(directory: &Path) -> Result<Self, NotPrivate> {
        PrivateDirectory::open(directory).map(|directory| Self { directory })
    }

    /// Opens the cache in a directory, if it is there. Makes nothing.
    ///
    /// # Errors
    /// Where it is not, or could not be, this process' user's alone: see [`PrivateDirectory::find`].
    pub fn find(directory: &Path) -> Result<Option<Self>, NotPrivate> {
        Ok(PrivateDirectory::find(directory)?.map(|directory| Self { directory }))
    }

    fn file(&self, key: &str) -> PathBuf {
        self.directory.path().join(format!("{key}.{EXTENSION}"))
    }

    /// What was put there under a key of letters, digits and `-`. `None` also where it can't be read, or is damaged.
    pub fn get(&self, key: &str) -> Option<Precompiled> {
        let flags = i32::try_from(OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits()).ok()?;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(self.file(key)).ok()?;
        let metadata = file.metadata().ok()?;
        if !PrivateDirectory::owns(&metadata) || metadata.len() > MOST_BYTES {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        let found = Precompiled::read(bytes)?;
        // For `prune`; a directory that can't be written is as good a cache to read from.
        let _ = File::set_modified(&file, SystemTime::now());
        Some(found)
    }

    /// Keeps compiled code under a key, and removes what is too old or too much.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put(&self, key: &str, made: &Precompiled) -> io::Result<()> {
        let mut part = tempfile::Builder::new().prefix(PART).tempfile_in(self.directory.path())?;
        part.write_all(&made.write())?;
        part.persist(self.file(key)).map_err(|error| error.error)?;
        self.prune(SystemTime::now(), MOST_BYTES)
    }

    /// Removes files from the oldest on, until none is too old and all together fit.
    fn prune(&self, now: SystemTime, most: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            // Another gateway may remove it at the same time.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let modified = metadata.modified()?;
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.push((modified, metadata.len(), path));
            } else if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PART.as_bytes()))
                && now.duration_since(modified).is_ok_and(|age| age > MOST_PART_AGE)
            {
                let _ = fs::remove_file(path);
            }
        }
        files.sort_by(|one, other| other.cmp(one));
        let mut kept = 0_u64;
        for (modified, length, path) in files {
            if kept + length > most || now.duration_since(modified).is_ok_and(|age| age > MOST_AGE) {
                let _ = fs::remove_file(path);
            } else {
                kept += length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;
    use crate::code::Code;

    fn made(text: &str) -> Precompiled {
        let component = wat::parse_str(text).unwrap();
        Precompiled { about: text.into(), code: Code::compile(&Engine::default(), &component).unwrap() }
    }

    #[test]
    fn what_was_put_is_found_until_it_is_damaged() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(&home.path().join("cache")).unwrap();
        let one = made("(component)");
        assert_eq!(cache.get("one"), None);
        cache.put("one", &one).unwrap();
        assert_eq!(cache.get("one"), Some(one.clone()));
        let file = cache.file("one");
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(cache.get("one"), None);
        cache.put("one", &one).unwrap();
        assert_eq!(cache.get("one"), Some(one));
    }

    #[test]
    fn a_file_that_is_a_link_or_that_others_may_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(&home.path().join("cache")).unwrap();
        cache.put("one", &made("(component)")).unwrap();
        fs::rename(cache.file("one"), home.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), cache.file("one")).unwrap();
        assert_eq!(cache.get("one"), None);
        fs::remove_file(cache.file("one")).unwrap();
        fs::rename(home.path().join("elsewhere"), cache.file("one")).unwrap();
        assert!(cache.get("one").is_some());
        fs::set_permissions(cache.file("one"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.get("one"), None);
    }

    #[test]
    fn the_oldest_files_go_first_and_nobody_elses_files_at_all() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(&home.path().join("cache")).unwrap();
        let one = made("(component)");
        let now = SystemTime::now();
        for (age, key) in (0..4).zip(["a", "b", "c", "d"]) {
            cache.put(key, &one).unwrap();
            let file = File::options().write(true).open(cache.file(key)).unwrap();
            file.set_modified(now - Duration::from_secs(age * 100)).unwrap();
        }
        let foreign = cache.directory.path().join("notes.txt");
        fs::write(&foreign, "mine").unwrap();
        let length = fs::metadata(cache.file("a")).unwrap().len();
        let keys = || ["a", "b", "c", "d"].into_iter().filter(|key| cache.file(key).exists()).collect::<String>();
        cache.prune(now, 3 * length).unwrap();
        assert_eq!(keys(), "abc");
        cache.prune(now + MOST_AGE - Duration::from_secs(150), MOST_BYTES).unwrap();
        assert_eq!(keys(), "ab");
        assert!(foreign.exists());
    }
}
