//! One look at the watched paths: what is there, and which directories tell of changes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links in one path; the kernel stops at as many.
const MAX_LINKS: usize = 40;

/// Device and inode: tells a directory from another that took its name.
pub(super) type Identity = (u64, u64);

/// Seconds and nanoseconds.
type FileTime = (i64, i64);

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    target: PathBuf,
    identity: Identity,
    /// Length, modification and change time; none for directories, whose entries have signatures of their own.
    file: Option<(u64, FileTime, FileTime)>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    signatures: BTreeMap<PathBuf, Option<Signature>>,
    /// Without links, as events name them.
    files: HashSet<PathBuf>,
    /// Directories in which something may happen to the paths; without links, so that none is watched twice.
    pub(super) directories: HashMap<PathBuf, Identity>,
    /// Every part of the paths that was met, or missed, and those directories: what events have to be about to matter.
    pub(super) steps: HashSet<PathBuf>,
}

impl Scan {
    /// Looks at the paths.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut scan = Self::default();
        for path in paths {
            scan.add(path);
        }
        scan
    }

    /// Whether anything is not what it was.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        self.signatures != other.signatures
    }

    /// Whether the path of an event is one of the files.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.contains(path)
    }

    /// Adds a path.
    fn add(&mut self, path: &Path) {
        let target = self.resolve(path);
        let metadata = target.as_ref().and_then(|target| fs::metadata(target).ok());
        let signature = target.zip(metadata).map(|(target, metadata)| signature(target, &metadata));
        if let Some(Signature { target, file: Some(_), .. }) = &signature {
            self.files.insert(target.clone());
        }
        self.signatures.insert(path.to_owned(), signature);
    }

    fn add_directory(&mut self, path: &Path) {
        if !self.directories.contains_key(path)
            && let Ok(metadata) = fs::metadata(path)
        {
            self.directories.insert(path.to_owned(), (metadata.dev(), metadata.ino()));
            self.steps.insert(path.to_owned());
        }
    }

    /// Follows every link of a path, and notes the directories on the way in which the path could be led elsewhere:
    /// those that hold a link, the last two, and the one in which a part is missing.
    fn resolve(&mut self, path: &Path) -> Option<PathBuf> {
        let mut parts: Vec<OsString> = parts(&std::path::absolute(path).ok()?);
        let mut current = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = parts.pop() {
            if part == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&part);
            self.steps.insert(next.clone());
            let Ok(metadata) = fs::symlink_metadata(&next) else {
                self.add_directory(&current);
                return None;
            };
            if metadata.is_symlink() {
                self.add_directory(&current);
                links += 1;
                let target = fs::read_link(&next).ok().filter(|_| links <= MAX_LINKS)?;
                if target.is_absolute() {
                    current = PathBuf::from("/");
                }
                parts.extend(self::parts(&target));
            } else {
                if parts.len() <= 1 {
                    self.add_directory(&current);
                }
                current = next;
            }
        }
        Some(current)
    }
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    let mut parts: Vec<_> = path.components().filter_map(part).collect();
    parts.reverse();
    parts
}

pub(super) fn signature(target: PathBuf, metadata: &Metadata) -> Signature {
    let file = metadata.is_file().then(|| {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        (metadata.len(), modified, changed)
    });
    Signature { target, identity: (metadata.dev(), metadata.ino()), file }
}
