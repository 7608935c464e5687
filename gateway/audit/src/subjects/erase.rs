//! Erasure asked for by another process than the one that writes: the keys are in that one's memory, so it is handed a file
//! with what the subject is looked up by, and takes the file away when it has done it. It says nothing of who that is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Caller, Tag};
use crate::layout;
use crate::storage::{Storage, replace};
use crate::words::Name;

const ENDING: &str = "erasure";

fn directory(ledger: &Path, gateway: &Name) -> PathBuf {
    layout::gateway(ledger, gateway).join("erase")
}

/// Asks the process that writes to erase a subject. The file is gone when that has been done ([`is_done`]).
pub fn request(ledger: &Path, gateway: &Name, caller: &Caller, storage: &dyn Storage) -> io::Result<PathBuf> {
    let directory = directory(ledger, gateway);
    storage.make_directory(&directory)?;
    let id: [u8; 16] = crate::random().map_err(io::Error::other)?;
    let path = directory.join(format!("{:032x}.{ENDING}", u128::from_be_bytes(id)));
    let tags: Vec<String> = caller.tags().iter().map(|tag| format!("{tag}\n")).collect();
    replace(storage, &path, 0o600, tags.concat().as_bytes())?;
    Ok(path)
}

/// Whether a request has been carried out.
pub fn is_done(request: &Path) -> bool {
    !request.exists()
}

/// What is asked for at present. A file that is none of this form is left alone.
pub(crate) fn requests(ledger: &Path, gateway: &Name) -> io::Result<Vec<(PathBuf, Caller)>> {
    let directory = directory(ledger, gateway);
    let mut found = Vec::new();
    for name in layout::names(&directory)?.iter().filter(|name| name.ends_with(&format!(".{ENDING}"))) {
        let path = directory.join(name);
        let text = fs::read_to_string(&path)?;
        let tags: Result<_, _> = text.lines().map(str::parse::<Tag>).collect();
        if let Ok(tags) = tags {
            found.push((path, Caller(tags)));
        }
    }
    Ok(found)
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
        assert_eq!(requests(ledger.path(), &gateway).unwrap(), [(path.clone(), caller)]);
        assert!(!fs::read_to_string(&path).unwrap().contains("kari") && !is_done(&path));
        fs::remove_file(&path).unwrap();
        assert!(is_done(&path));
    }
}
