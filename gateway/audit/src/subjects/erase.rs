//! Requests to erase a subject, as files: another process than the one that writes can make one, and none is half done after a
//! crash. A request says what the subject is looked up by, and nothing of who that is.
//!
//! It is carried out in steps, each on disk before the next: the pseudonym is noted in the request, the key is deleted, that is
//! recorded in the chains, the request is removed. Whoever finds a request that has its pseudonym goes on from there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Caller, Tag};
use crate::layout;
use crate::record::Pseudonym;
use crate::storage::{Storage, replace};
use crate::words::Name;

const ENDING: &str = "erasure";
/// Who may read a request: nobody but its owner.
const MODE: u32 = 0o600;
/// Before the pseudonym.
const ERASING: &str = "erasing ";

/// A subject that is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    path: PathBuf,
    pub(crate) caller: Caller,
    /// Noted where the erasure has begun.
    pub(crate) pseudonym: Option<Pseudonym>,
}

fn directory(ledger: &Path, gateway: &Name) -> PathBuf {
    layout::gateway(ledger, gateway).join("erase")
}

/// Asks the process that writes to erase a subject. The file is gone when that has been done ([`is_done`]); it looks every
/// second by default ([`crate::ledger::Settings::tick`]).
pub fn request(ledger: &Path, gateway: &Name, caller: &Caller, storage: &dyn Storage) -> io::Result<PathBuf> {
    let directory = directory(ledger, gateway);
    storage.make_directory(&directory)?;
    let id: [u8; 16] = crate::random().map_err(io::Error::other)?;
    let path = directory.join(format!("{:032x}.{ENDING}", u128::from_be_bytes(id)));
    Request { path: path.clone(), caller: caller.clone(), pseudonym: None }.write(storage)?;
    Ok(path)
}

/// Whether a request has been carried out.
pub fn is_done(request: &Path) -> bool {
    !request.exists()
}

/// What is asked for at present. A file that is none of this form is left alone.
pub(crate) fn requests(ledger: &Path, gateway: &Name) -> io::Result<Vec<Request>> {
    let directory = directory(ledger, gateway);
    let names = layout::names(&directory)?;
    let requests = names.iter().filter(|name| name.ends_with(&format!(".{ENDING}")));
    Ok(requests.filter_map(|name| Request::read(directory.join(name))).collect())
}

impl Request {
    fn read(path: PathBuf) -> Option<Self> {
        let text = fs::read_to_string(&path).ok()?;
        let (tags, pseudonym) = match text.split_once(ERASING) {
            Some((tags, pseudonym)) => (tags, Some(pseudonym.trim_end().parse().ok()?)),
            None => (&*text, None),
        };
        let tags = tags.lines().map(str::parse::<Tag>).collect::<Result<_, _>>().ok()?;
        Some(Self { path, caller: Caller(tags), pseudonym })
    }

    fn write(&self, storage: &dyn Storage) -> io::Result<()> {
        let mut text: String = self.caller.tags().iter().map(|tag| format!("{tag}\n")).collect();
        if let Some(pseudonym) = self.pseudonym {
            text += &format!("{ERASING}{pseudonym}\n");
        }
        replace(storage, &self.path, MODE, text.as_bytes())
    }

    /// Notes whose key is about to be deleted.
    pub(crate) fn begin(&mut self, pseudonym: Pseudonym, storage: &dyn Storage) -> io::Result<()> {
        self.pseudonym = Some(pseudonym);
        self.write(storage)
    }

    /// Removes it: it was carried out.
    pub(crate) fn end(&self, storage: &dyn Storage) -> io::Result<()> {
        storage.remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;
    use crate::subjects::PseudonymKeys;

    #[test]
    fn a_request_is_read_as_it_was_made_and_names_nobody() {
        let ledger = tempfile::tempdir().unwrap();
        let gateway: Name = "edge-1".parse().unwrap();
        let caller = PseudonymKeys::new(&[[1; 32], [2; 32]]).unwrap().caller(b"kari@example.no");
        let path = request(ledger.path(), &gateway, &caller, &Disk).unwrap();
        fs::write(path.with_file_name("x.erasure"), "kari").unwrap();
        let read = || requests(ledger.path(), &gateway).unwrap();
        let mut request = Request { path: path.clone(), caller, pseudonym: None };
        assert_eq!(read(), [request.clone()]);
        assert!(!fs::read_to_string(&path).unwrap().contains("kari") && !is_done(&path));
        request.begin(Pseudonym([3; 16]), &Disk).unwrap();
        assert_eq!(read(), [request.clone()]);
        request.end(&Disk).unwrap();
        assert!(is_done(&path) && read().is_empty());
    }
}
