//! `NAME.status.json` beside `NAME.wasm`: what became of the file, for whoever dropped it there.
//!
//! Best effort: the directory may be read-only.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

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
    pub error: Option<String>,
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

/// Writes the file and renames it into place, so that nobody reads half of it.
pub(crate) fn write(directory: &Path, plugin: &str, status: &Status) {
    let result = (|| {
        let mut file = tempfile::Builder::new().prefix(".status-").tempfile_in(directory)?;
        serde_json::to_writer_pretty(&mut file, status)?;
        file.write_all(b"\n")?;
        // Temporary files are their owner's alone; whoever dropped the plugin here is often another user.
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.persist(directory.join(format!("{plugin}.status.json"))).map_err(|error| error.error)?;
        std::io::Result::Ok(())
    })();
    if let Err(error) = result {
        tracing::debug!(plugin, %error, "cannot write the plugin's status file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status { state: FileState::Serving, hash: None, version: None, error: None, since: 5 }
    }

    #[test]
    fn others_than_the_gateway_may_read_a_status_file() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "auth", &status());
        let metadata = std::fs::metadata(directory.path().join("auth.status.json")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn the_time_is_that_of_the_last_change() {
        let later = Status { since: 9, ..status() };
        assert_eq!(later.clone().since(Some(&status())).since, 5);
        assert_eq!(Status { state: FileState::Missing, ..later }.since(Some(&status())).since, 9);
    }
}
