//! The targets of the access logs: opened for a start or a reload, before anything of it is in force.

use std::path::Path;
use std::sync::Arc;

use super::error::ApplyError;
use crate::access_log::{AccessLog, Target};
use crate::config::{ConfigError, ConfigErrors, Places};
use crate::model::{Config, LogTarget};
use crate::snapshot::Snapshot;

/// Opens what the configuration names; what `running` has open already stays as it is. Blocks for as long as files do. Every
/// log that can't be opened is told of, at its place in the file.
pub(super) fn open(
    logs: &AccessLog,
    file: &Path,
    config: &Config,
    places: &Places,
    running: Option<&Snapshot>,
) -> Result<Vec<Arc<Target>>, ApplyError> {
    let open = |target: &LogTarget| {
        let same = |running: &Snapshot| {
            let at = running.config.access_log.iter().position(|log| log.target == *target)?;
            running.log_targets.get(at).cloned()
        };
        running.and_then(same).map_or_else(|| logs.open(target), Ok)
    };
    let (mut targets, mut errors) = (Vec::new(), Vec::new());
    for log in &config.access_log {
        match open(&log.target) {
            Ok(target) => targets.push(target),
            Err(error) => {
                let place = match &log.target {
                    LogTarget::File(path) => places.file(path),
                    LogTarget::Stdout | LogTarget::Syslog(_) => None,
                };
                let message = format!("the access log {} can't be opened: {error}", log.target);
                errors.push(ConfigError::new(file, place.unwrap_or((1, 1)), message));
            }
        }
    }
    if errors.is_empty() { Ok(targets) } else { Err(ApplyError::Config(ConfigErrors::new(errors))) }
}
