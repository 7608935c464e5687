//! `NAME.status.json` beside `NAME.wasm`: what became of the file, for whoever dropped it there.
//!
//! Best effort: the directory may be read-only. A gateway takes its files away when it stops, or no longer uses the plugin;
//! after one that was killed, `pid` and `started` tell that it is not the one that runs.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sanitize::{SafeText, safe};
use crate::watch;

/// Larger ones are not ours.
const MAX_BYTES: u64 = 1 << 20;

/// What became of a plugin file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// The file's version serves.
    Serving,
    /// The file was refused; the last good version serves, if there was one.
    Rejected,
    /// The file is gone; its last version serves.
    Missing,
}

/// The content of a status file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// What became of the file.
    pub state: FileState,
    /// SHA-256 of the version that serves.
    pub hash: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Why the file was refused.
    pub error: Option<SafeText>,
    /// Seconds since 1970.
    pub since: u64,
}

impl Status {
    /// This status, with the time at which it became so: that of `before` where nothing else has changed.
    pub(crate) fn since(self, before: Option<&Self>) -> Self {
        match before {
            Some(before) if (Self { since: before.since, ..self.clone() }) == *before => before.clone(),
            _ => self,
        }
    }
}

pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Which process wrote a file: two gateways, one that stops and one that has just begun, may share a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Writer {
    /// Its process id, in its own namespace.
    pid: u32,
    /// When it began, in milliseconds since 1970: in containers every process has the same id.
    started: u64,
}

impl Writer {
    fn this() -> Self {
        static STARTED: LazyLock<u64> = LazyLock::new(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
        });
        Self { pid: std::process::id(), started: *STARTED }
    }
}

#[derive(serde::Serialize)]
struct File<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(flatten)]
    writer: Writer,
}

fn path(directory: &Path, plugin: &str) -> PathBuf {
    directory.join(format!("{plugin}.status.json"))
}

/// Writes the file and renames it into place, so that nobody reads half of it.
pub(crate) fn write(directory: &Path, plugin: &str, status: &Status) {
    let result = (|| {
        let mut file = tempfile::Builder::new().prefix(".status-").tempfile_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &File { status, writer: Writer::this() })?;
        file.write_all(b"\n")?;
        // Temporary files are their owner's alone; whoever dropped the plugin here is often another user. Who may not look
        // into the directory has no business with what is said of its files, not even by a hard link to it.
        let readers = std::fs::metadata(directory)?.permissions().mode() & 0o044;
        file.as_file().set_permissions(Permissions::from_mode(0o600 | readers))?;
        file.persist(path(directory, plugin)).map_err(|error| error.error)?;
        std::io::Result::Ok(())
    })();
    if let Err(error) = result {
        say_once(directory, &error);
    }
}

/// A read-only directory is a choice: it is said once, and where else to look.
fn say_once(directory: &Path, error: &std::io::Error) {
    static SAID: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(directory.to_owned()) {
        tracing::info!(directory = %directory.display(), error = %safe!(*error),
            "no NAME.status.json can be written beside the plugins; this log and /plugins of the admin listener tell the same");
    }
}

/// Takes the file away, if this process wrote it.
pub(crate) fn remove(directory: &Path, plugin: &str) {
    let path = path(directory, plugin);
    let written = watch::read_regular(&path, MAX_BYTES).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if written == Some(Writer::this()) {
        // Best effort, as the writing.
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status { state: FileState::Serving, hash: None, version: None, error: None, since: 5 }
    }

    #[test]
    fn whoever_may_look_into_the_directory_may_read_a_status_file() {
        for (directory_mode, file_mode) in [(0o755, 0o644), (0o750, 0o640), (0o770, 0o640), (0o700, 0o600)] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::set_permissions(directory.path(), Permissions::from_mode(directory_mode)).unwrap();
            write(directory.path(), "auth", &status());
            let metadata = std::fs::metadata(directory.path().join("auth.status.json")).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, file_mode, "{directory_mode:o}");
        }
    }

    #[test]
    fn the_time_is_that_of_the_last_change() {
        let later = Status { since: 9, ..status() };
        assert_eq!(later.clone().since(Some(&status())).since, 5);
        assert_eq!(Status { state: FileState::Missing, ..later }.since(Some(&status())).since, 9);
    }

    #[test]
    fn a_file_is_taken_away_by_who_wrote_it_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("auth.status.json");
        write(directory.path(), "auth", &status());
        remove(directory.path(), "auth");
        assert!(!file.exists());
        write(directory.path(), "auth", &status());
        let text = std::fs::read_to_string(&file).unwrap();
        for other in [text.replace("\"started\": 1", "\"started\": 2"), "{}".to_owned(), "not JSON".to_owned()] {
            assert_ne!(other, text);
            std::fs::write(&file, other).unwrap();
            remove(directory.path(), "auth");
            assert!(file.exists(), "another gateway's");
        }
    }
}
