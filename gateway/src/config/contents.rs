//! What was in the files that a config names, so that a change of their times alone is no change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::watch::read_regular;

/// Larger files are told apart no better than missing ones: nothing that a config names comes near.
const MAX_BYTES: u64 = 16 << 20;

/// Files and the SHA-256 of what was in them; `None` for what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Contents {
    /// Notes what was read from a file.
    pub(super) fn note(&mut self, file: &Path, bytes: &[u8]) {
        self.0.insert(file.to_owned(), Some(sha256(bytes)));
    }

    /// Notes a file of which nothing whole could be read: whatever is in it later is other than that.
    pub(super) fn miss(&mut self, file: &Path) {
        self.0.insert(file.to_owned(), None);
    }

    /// Adds a file, with what is in it now; one that was noted before stays as it was read.
    pub(super) fn add(&mut self, file: &Path) {
        if !self.0.contains_key(file) {
            self.0.insert(file.to_owned(), digest_of(file));
        }
    }

    /// What is in the same files now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self(self.0.keys().map(|file| (file.clone(), digest_of(file))).collect())
    }

    /// The files. Watch these.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    /// The files that are not what they were in `before`, or were not there.
    pub fn changed_since(&self, before: &Self) -> Vec<&Path> {
        let changed = self.0.iter().filter(|(file, digest)| before.0.get(*file) != Some(*digest));
        changed.map(|(file, _)| file.as_path()).collect()
    }

    /// The SHA-256 of a file in lower-case hex, where it was read.
    pub fn hash(&self, file: &Path) -> Option<String> {
        let digest = self.0.get(file)?.as_ref()?;
        Some(digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

fn digest_of(file: &Path) -> Option<Vec<u8>> {
    read_regular(file, MAX_BYTES).ok().map(|bytes| sha256(&bytes))
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_and_not_what_is_there_later() {
        let directory = tempfile::tempdir().unwrap();
        let (read, named) = (directory.path().join("read"), directory.path().join("named"));
        std::fs::write(&named, "key").unwrap();
        let mut contents = Contents::default();
        contents.note(&read, b"old");
        std::fs::write(&read, "edited meanwhile").unwrap();
        contents.add(&read);
        contents.add(&named);
        assert_eq!(contents.files(), [named.clone(), read.clone()]);
        assert_eq!(contents.now().changed_since(&contents), [read.as_path()]);
        std::fs::write(&read, "old").unwrap();
        assert_eq!(contents.now(), contents);
        std::fs::remove_file(&named).unwrap();
        assert_eq!(contents.now().changed_since(&contents), [named.as_path()]);
        assert_eq!(contents.hash(&named).map(|hash| hash.len()), Some(64));
    }

    #[test]
    fn a_device_does_not_hang_whoever_asks_for_its_contents() {
        let mut contents = Contents::default();
        contents.add(Path::new("/dev/zero"));
        assert_eq!(contents.hash(Path::new("/dev/zero")), None);
    }
}
