//! The key file: a line for each subject, `TAG KEY CHECK` in hex. Lines are added and synced before a record that needs them
//! is; to delete one the file is written anew and takes the old one's place. Only the owner may read it.
//!
//! Where a pseudonym key was replaced, a subject that is found by the old one gets a line with the new tag and the same key.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;

use super::{Caller, Tag, pseudonym};
use crate::hex;
use crate::layout;
use crate::record::Pseudonym;
use crate::storage::{Appender, Storage, replace};

/// Length of a line with its end.
const LINE: usize = 64 + 1 + 64 + 1 + 8 + 1;
/// Who may read the file: nobody but its owner.
const MODE: u32 = 0o600;

#[derive(Clone, Copy, Debug)]
struct Subject {
    key: [u8; 32],
    pseudonym: Pseudonym,
}

/// The keys of all subjects, in memory and on disk. Belongs to the thread that writes the ledger.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    subjects: HashMap<Tag, Subject, rustc_hash::FxBuildHasher>,
    /// None after a failure, and before the first line of this process.
    file: Option<Box<dyn Appender>>,
    /// Lines that are not on disk yet.
    pending: Vec<u8>,
}

/// What was found in a key file besides keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFile {
    /// Bytes of a torn last line, which were cut.
    pub cut: u64,
    /// Lines that are none: subjects who can't be found any more.
    pub damaged: u64,
}

impl Store {
    /// Reads the file, or begins with none. A torn last line, whose record was not written either, is cut.
    pub(crate) fn open(path: &Path, storage: Arc<dyn Storage>) -> io::Result<(Self, KeyFile)> {
        let (subjects, found) = read(path)?;
        let mut store = Self { path: path.to_owned(), storage, subjects, file: None, pending: Vec::new() };
        if let Some(directory) = path.parent() {
            store.storage.make_directory(directory)?;
        }
        if found.cut > 0 || !path.exists() {
            store.rewrite()?;
        }
        Ok((store, found))
    }

    /// The pseudonym of a caller, who gets a key where there is none yet. It may be used when [`Self::sync`] has succeeded.
    pub(crate) fn pseudonym(&mut self, caller: &Caller) -> Result<Pseudonym, crate::RandomFailed> {
        let Some(current) = caller.tags().first() else { return Err(crate::RandomFailed) };
        if let Some(subject) = self.subjects.get(current) {
            return Ok(subject.pseudonym);
        }
        let earlier = caller.tags().iter().find_map(|tag| self.subjects.get(tag)).copied();
        let subject = match earlier {
            Some(subject) => subject,
            None => {
                let key = crate::random()?;
                Subject { key, pseudonym: pseudonym(&key) }
            }
        };
        self.subjects.insert(*current, subject);
        push(&mut self.pending, current, &subject.key);
        Ok(subject.pseudonym)
    }

    /// Returns when the keys of all pseudonyms that were given out are on disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let added = match self.file.take() {
            Some(file) => Ok(file),
            None => self.storage.append(&self.path),
        };
        let added = added.and_then(|mut file| {
            file.write_all(&self.pending)?;
            file.sync()?;
            Ok(file)
        });
        match added {
            Ok(file) => {
                self.file = Some(file);
                self.pending.clear();
                Ok(())
            }
            // Nothing is known of the file's end now: another one takes its place, or nothing was confirmed.
            Err(_) => self.rewrite(),
        }
    }

    /// The pseudonym of a caller who has one.
    pub(crate) fn known(&self, caller: &Caller) -> Option<Pseudonym> {
        caller.tags().iter().find_map(|tag| self.subjects.get(tag)).map(|subject| subject.pseudonym)
    }

    /// Deletes the key of a caller who has this pseudonym; `false` where that was done already. On an error the key may still be
    /// in the file.
    pub(crate) fn erase(&mut self, caller: &Caller, pseudonym: Pseudonym) -> io::Result<bool> {
        // A caller who has come again since an erasure that was broken off has another pseudonym, and stays.
        if self.known(caller) != Some(pseudonym) {
            return Ok(false);
        }
        let theirs: Vec<(Tag, Subject)> =
            self.subjects.extract_if(|_, subject| subject.pseudonym == pseudonym).collect();
        if let Err(error) = self.rewrite() {
            self.subjects.extend(theirs);
            return Err(error);
        }
        Ok(true)
    }

    /// Writes the whole file anew, and everything that was pending.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let mut content = Vec::with_capacity(self.subjects.len() * LINE);
        for (tag, subject) in &self.subjects {
            push(&mut content, tag, &subject.key);
        }
        replace(&*self.storage, &self.path, MODE, &content)?;
        self.pending.clear();
        Ok(())
    }
}

/// The pseudonym of a caller by the key file of a ledger, for who asks it. `None` where there is no such subject.
pub fn find(path: &Path, caller: &Caller) -> io::Result<Option<Pseudonym>> {
    let (subjects, _) = read(path)?;
    Ok(caller.tags().iter().find_map(|tag| subjects.get(tag)).map(|subject| subject.pseudonym))
}

/// The pseudonyms of a caller by the key files of all gateways of a ledger, where these lie where they do by default.
pub fn find_in_all(directory: &Path, caller: &Caller) -> io::Result<BTreeSet<Pseudonym>> {
    let gateways: BTreeSet<_> = layout::chains(directory)?.into_iter().map(|chain| chain.gateway).collect();
    let found = gateways.iter().map(|gateway| find(&layout::keys(directory, gateway), caller));
    found.filter_map(Result::transpose).collect()
}

type Subjects = HashMap<Tag, Subject, rustc_hash::FxBuildHasher>;

fn read(path: &Path) -> io::Result<(Subjects, KeyFile)> {
    let content = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        content => content?,
    };
    let mut found = KeyFile::default();
    let mut subjects = Subjects::default();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        match parse(line) {
            Some((tag, key)) => {
                subjects.insert(tag, Subject { key, pseudonym: pseudonym(&key) });
            }
            None if line.ends_with(b"\n") => found.damaged += 1,
            None => found.cut = line.len() as u64,
        }
    }
    Ok((subjects, found))
}

fn push(into: &mut Vec<u8>, tag: &Tag, key: &[u8; 32]) {
    hex::push(into, &tag.0);
    into.push(b' ');
    hex::push(into, key);
    into.push(b' ');
    hex::push(into, &check(tag, key));
    into.push(b'\n');
}

fn parse(line: &[u8]) -> Option<(Tag, [u8; 32])> {
    let (tag, key, sum) = (line.get(..64)?, line.get(65..129)?, line.get(130..138)?);
    let framed = line.len() == LINE && line[64] == b' ' && line[129] == b' ' && line[138] == b'\n';
    let (tag, key) = (Tag(hex::parse(tag)?), hex::parse(key)?);
    (framed && hex::parse(sum)? == check(&tag, &key)).then_some((tag, key))
}

/// Finds lines that a crash or a disk has damaged.
fn check(tag: &Tag, key: &[u8; 32]) -> [u8; 4] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&tag.0);
    context.update(key);
    let mut sum = [0; 4];
    sum.copy_from_slice(&context.finish().as_ref()[..4]);
    sum
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::faults::FaultyDisk;
    use crate::storage::Disk;
    use crate::subjects::PseudonymKeys;

    fn keys(seeds: &[u8]) -> PseudonymKeys {
        PseudonymKeys::new(&seeds.iter().map(|seed| [*seed; 32]).collect::<Vec<_>>()).unwrap()
    }

    fn open(path: &Path) -> (Store, KeyFile) {
        Store::open(path, Arc::new(Disk)).unwrap()
    }

    #[test]
    fn a_subject_keeps_its_pseudonym_and_others_have_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/edge-1");
        let (mut store, _) = open(&path);
        let kari = store.pseudonym(&keys(&[1]).caller(b"kari")).unwrap();
        let ola = store.pseudonym(&keys(&[1]).caller(b"ola")).unwrap();
        store.sync().unwrap();
        assert_ne!(kari, ola);
        let (mut again, found) = open(&path);
        assert_eq!((again.pseudonym(&keys(&[1]).caller(b"kari")).unwrap(), found), (kari, KeyFile::default()));
        assert_eq!(find(&path, &keys(&[1]).caller(b"ola")).unwrap(), Some(ola));
        assert_eq!(find(&path, &keys(&[2]).caller(b"ola")).unwrap(), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_erased_key_is_gone_from_the_file_and_the_subject_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let (mut store, _) = open(&path);
        let caller = keys(&[1]).caller(b"kari");
        let before = store.pseudonym(&caller).unwrap();
        store.pseudonym(&keys(&[1]).caller(b"ola")).unwrap();
        store.sync().unwrap();
        let key = hex_of(store.subjects[&caller.tags()[0]].key);
        assert!(fs::read_to_string(&path).unwrap().contains(&key));
        assert!(!store.erase(&caller, Pseudonym([0; 16])).unwrap());
        assert!(store.erase(&caller, before).unwrap());
        assert!(!fs::read_to_string(&path).unwrap().contains(&key));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert!(!store.erase(&caller, before).unwrap());
        assert_ne!(store.pseudonym(&caller).unwrap(), before);
    }

    fn hex_of(key: [u8; 32]) -> String {
        Tag(key).to_string()
    }

    #[test]
    fn rotation_of_the_pseudonym_key_keeps_look_ups_working() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let (mut store, _) = open(&path);
        let kari = store.pseudonym(&keys(&[1]).caller(b"kari")).unwrap();
        store.sync().unwrap();
        let both = keys(&[2, 1]).caller(b"kari");
        assert_eq!(find(&path, &both).unwrap(), Some(kari));
        assert_eq!(store.pseudonym(&both).unwrap(), kari);
        store.sync().unwrap();
        // Whoever has called since is found without the old key, and erased under every tag.
        assert_eq!(find(&path, &keys(&[2]).caller(b"kari")).unwrap(), Some(kari));
        assert!(open(&path).0.erase(&keys(&[2]).caller(b"kari"), kari).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_torn_line_is_cut_at_every_byte_and_a_damaged_one_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let (mut store, _) = open(&path);
        let kari = store.pseudonym(&keys(&[1]).caller(b"kari")).unwrap();
        store.pseudonym(&keys(&[1]).caller(b"ola")).unwrap();
        store.sync().unwrap();
        let whole = fs::read(&path).unwrap();
        for length in LINE..2 * LINE {
            fs::write(&path, &whole[..length]).unwrap();
            let (mut store, found) = open(&path);
            assert_eq!(found, KeyFile { cut: (length - LINE) as u64, damaged: 0 });
            assert_eq!(store.pseudonym(&keys(&[1]).caller(b"kari")).unwrap(), kari);
            assert_eq!(fs::read(&path).unwrap(), whole[..LINE]);
        }
        let mut damaged = whole.clone();
        damaged[70] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(open(&path).1, KeyFile { cut: 0, damaged: 1 });
    }

    #[test]
    fn a_failed_sync_is_made_good_by_another_file_or_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let disk = FaultyDisk::new();
        let (mut store, _) = Store::open(&path, Arc::new(disk.clone())).unwrap();
        let kari = store.pseudonym(&keys(&[1]).caller(b"kari")).unwrap();
        disk.fail_syncs(1);
        store.sync().unwrap();
        assert_eq!(find(&path, &keys(&[1]).caller(b"kari")).unwrap(), Some(kari));
        store.pseudonym(&keys(&[1]).caller(b"ola")).unwrap();
        disk.fail_syncs(2);
        assert!(store.sync().is_err());
        store.sync().unwrap();
        assert_eq!(open(&path).0.subjects.len(), 2);
        // A key that is not gone from the file is not said to be.
        disk.fail_syncs(1);
        let caller = keys(&[1]).caller(b"kari");
        assert!(store.erase(&caller, kari).is_err());
        assert_eq!(store.known(&caller), Some(kari));
        assert!(store.erase(&caller, kari).unwrap());
        assert_eq!(open(&path).0.known(&caller), None);
    }
}
