//! The audit trail as the control thread sees it: opened at the start, or by the first reload that asks for it, and closed when
//! nothing can write to it any more.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::error::ApplyError;
use crate::audit::Trail;
use crate::config::ConfigError;
use crate::model::Config;

/// How long what was handed over may take to be written at the end.
const CLOSING: Duration = Duration::from_secs(5);

/// The audit trail of a configuration, which names it at `place`: the one that is open, or a new one. What blocks runs where it blocks nobody.
pub(super) async fn open(
    file: &Path,
    config: &Arc<Config>,
    place: Option<(usize, usize)>,
    open: Option<&Trail>,
) -> Result<Option<Trail>, ApplyError> {
    let Some(settings) = &config.audit else { return Ok(None) };
    let opened = match open {
        Some(trail) => trail.follow(settings).map_err(|error| error.to_string()),
        None => {
            let config = config.clone();
            let opening = tokio::task::spawn_blocking(move || config.audit.as_ref().map(Trail::open).transpose());
            match opening.await {
                Ok(Ok(Some(trail))) => Ok(trail),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => Err(error.to_string()),
                Err(panic) => Err(panic.to_string()),
            }
        }
    };
    let wrong = |error| ConfigError::new(file, place.unwrap_or((1, 1)), format!("audit: {error}"));
    opened.map(Some).map_err(|error| ApplyError::Config(wrong(error).into()))
}

impl Control {
    /// Shows the audit trail that is in force.
    pub(super) fn show_audit(&self) {
        if let Some(trail) = &self.snapshot.audit {
            self.metrics.show_audit(trail.counts());
        }
    }

    /// Logs the heads that have moved since they were logged last: whoever keeps the log can show a removed tail later.
    pub(super) fn tell_heads(&mut self) {
        let Some(trail) = &self.snapshot.audit else { return };
        for head in trail.heads().into_iter().map(|head| head.to_string()) {
            if self.told_heads.insert(head.clone()) {
                tracing::info!(%head, "audit trail");
                let chain = head.split(':').next().unwrap_or_default().to_owned();
                self.told_heads.retain(|told| *told == head || !told.starts_with(&format!("{chain}:")));
            }
        }
    }

    /// Ends the audit trail, when no worker can write to it any more.
    pub(super) async fn close_audit(&mut self) {
        let Some(trail) = self.snapshot.audit.clone() else { return };
        // Nothing else is to be done meanwhile.
        let _ = tokio::task::spawn_blocking(move || trail.close(CLOSING)).await;
        self.tell_heads();
    }
}
