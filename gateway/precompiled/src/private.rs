//! A directory where nobody but this process' user can change anything: neither in it, nor by putting another one in its
//! place.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a directory is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct NotPrivate {
    /// The directory that is wrong, which may be one above the one that was asked for.
    pub path: PathBuf,
    /// What is wrong with it, and what helps.
    pub reason: String,
}

impl NotPrivate {
    fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// See the module. The path has no links in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateDirectory(PathBuf);

const GROUP_OR_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

impl PrivateDirectory {
    /// Makes the directory where it is missing, private (0700), and checks the whole way to it: each directory belongs to
    /// root or to this process' user, and no other user may write to it, unless it is sticky (as `/tmp` is: what lies there
    /// can't be replaced by others). The directory itself belongs to this process' user, and nobody else may write to it.
    /// The mode of one that is there already is not changed: it may be there for others too.
    ///
    /// # Errors
    /// Which directory is not as it must be, and what to do.
    pub fn open(path: &Path) -> Result<Self, NotPrivate> {
        let failed = |path: &Path, error: io::Error| NotPrivate::new(path, error.to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, error))?;
        Self::check(path)
    }

    /// The same without making anything: `None` where it is not there, and could be made.
    ///
    /// # Errors
    /// Which directory is not as it must be, and what to do.
    pub fn find(path: &Path) -> Result<Option<Self>, NotPrivate> {
        if path.exists() {
            return Self::check(path).map(Some);
        }
        // `Path::ancestors` of a relative path ends with an empty one, which is the current directory.
        let above = path.ancestors().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
        let Some(above) = above.into_iter().find(|above| above.exists()) else { return Ok(None) };
        let failed = |error: io::Error| NotPrivate::new(above, error.to_string());
        let us = rustix::process::geteuid().as_raw();
        for directory in above.canonicalize().map_err(failed)?.ancestors() {
            check_above(directory, &fs::symlink_metadata(directory).map_err(failed)?, us)?;
        }
        Ok(None)
    }

    fn check(path: &Path) -> Result<Self, NotPrivate> {
        let failed = |path: &Path, error: io::Error| NotPrivate::new(path, error.to_string());
        // From here on the path without links is used, so that one that is changed later leads nowhere else.
        let path = path.canonicalize().map_err(|error| failed(path, error))?;
        let us = rustix::process::geteuid().as_raw();
        for directory in path.ancestors().skip(1) {
            let metadata = fs::symlink_metadata(directory).map_err(|error| failed(directory, error))?;
            check_above(directory, &metadata, us)?;
        }
        let metadata = fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
        if !metadata.is_dir() {
            return Err(NotPrivate::new(&path, "it is not a directory"));
        }
        if metadata.uid() != us {
            let reason = format!("it belongs to the user {}, not to the gateway's ({us})", metadata.uid());
            return Err(NotPrivate::new(&path, reason));
        }
        let mode = metadata.mode();
        if mode & GROUP_OR_OTHERS != 0 {
            let reason = format!(
                "other users may write to it (mode {:04o}); `chmod go-w` takes that from them, if it is there for the \
                 gateway alone",
                mode & 0o7777
            );
            return Err(NotPrivate::new(&path, reason));
        }
        Ok(Self(path))
    }

    /// The path, without links.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether a file in it was made by this process' user: it may be older than the directory's privacy.
    pub(crate) fn owns(metadata: &Metadata) -> bool {
        metadata.is_file()
            && metadata.uid() == rustix::process::geteuid().as_raw()
            && metadata.mode() & GROUP_OR_OTHERS == 0
    }
}

/// Checks a directory on the way.
fn check_above(directory: &Path, metadata: &Metadata, us: u32) -> Result<(), NotPrivate> {
    if !metadata.is_dir() {
        return Err(NotPrivate::new(directory, "it is not a directory"));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != us {
        return Err(NotPrivate::new(
            directory,
            format!(
                "it belongs to the user {owner}, who could replace what is below it; only root and the gateway's user \
                 ({us}) are trusted with that"
            ),
        ));
    }
    let mode = metadata.mode();
    if mode & GROUP_OR_OTHERS != 0 && mode & STICKY == 0 {
        return Err(NotPrivate::new(
            directory,
            format!(
                "other users may write to it (mode {:04o}), and so replace what is below it; `chmod go-w` takes that \
                 from them",
                mode & 0o7777
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_is_made_and_made_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/c");
        let private = PrivateDirectory::open(&path).unwrap();
        for directory in ["a", "a/b", "a/b/c"] {
            assert_eq!(fs::metadata(home.path().join(directory)).unwrap().mode() & 0o777, 0o700, "{directory}");
        }
        assert_eq!(PrivateDirectory::open(&path).unwrap(), private);
    }

    #[test]
    fn the_mode_of_a_directory_that_was_there_before_is_nobody_s_to_change() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("shared");
        fs::create_dir(&path).unwrap();
        for (before, works) in [(0o755, true), (0o1777, false), (0o777, false), (0o775, false)] {
            mode(&path, before);
            let opened = PrivateDirectory::open(&path);
            assert_eq!(opened.is_ok(), works, "{before:o}: {opened:?}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, before, "it was changed");
            if let Err(error) = opened {
                assert!(error.to_string().contains(&format!("{before:04o}")), "{error}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_only_looked_for_is_not_made() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        assert_eq!(PrivateDirectory::find(&path), Ok(None));
        assert!(!home.path().join("a").exists());
        mode(home.path(), 0o777);
        assert!(PrivateDirectory::find(&path).is_err_and(|error| error.to_string().contains("0777")));
        assert!(PrivateDirectory::find(Path::new("/dev/null/below")).is_err());
    }

    #[test]
    fn a_directory_that_another_user_could_swap_is_refused_and_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        PrivateDirectory::open(&path).unwrap();
        for (loose, works) in [(0o770, false), (0o757, false), (0o1777, true), (0o755, true)] {
            mode(&home.path().join("a"), loose);
            let opened = PrivateDirectory::open(&path);
            assert_eq!(opened.is_ok(), works, "{loose:o}: {opened:?}");
            if let Err(error) = opened {
                assert!(error.path.ends_with("a") && error.to_string().contains(&format!("{loose:04o}")), "{error}");
            }
        }
    }

    #[test]
    fn a_link_does_not_hide_what_lies_above_its_target() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("loose/target");
        fs::create_dir_all(&target).unwrap();
        mode(&home.path().join("loose"), 0o777);
        std::os::unix::fs::symlink(&target, home.path().join("link")).unwrap();
        let error = PrivateDirectory::open(&home.path().join("link")).unwrap_err();
        assert!(error.path.ends_with("loose"), "{error}");
        let error = PrivateDirectory::open(&home.path().join("link/deeper")).unwrap_err();
        assert!(error.path.ends_with("loose"), "{error}");
    }

    #[test]
    fn what_is_no_directory_or_belongs_to_somebody_else_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(PrivateDirectory::open(&file).is_err());
        assert!(PrivateDirectory::open(Path::new("/dev/null/below")).is_err());
        // Only root can give a directory away.
        let given = home.path().join("given");
        fs::create_dir(&given).unwrap();
        if std::os::unix::fs::chown(&given, Some(54_321), None).is_ok() {
            for path in [given.clone(), given.join("below")] {
                let error = PrivateDirectory::open(&path).unwrap_err();
                assert!(error.path == given.canonicalize().unwrap() && error.reason.contains("54321"), "{error}");
            }
        }
    }
}
