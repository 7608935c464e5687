//! What serves under a plugin's name, and what is told of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::artifact::Artifact;
use super::error::LoadError;
use super::status::{self, FileState, Status};
use super::trial::Rejection;
use super::trust::{self, Signer};
use crate::model::{Grants, Plugins};
use crate::sanitize::safe;

/// A plugin file that was let in and compiled.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) artifact: Arc<Artifact>,
    /// Who signed it, where that was asked for when it was read.
    pub(super) signer: Option<Signer>,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) what: Candidate,
    pub(super) status: Status,
}

impl Serving {
    /// What serves, and why it isn't the file where it isn't.
    pub(super) fn new(what: &Candidate, refusal: Option<&Rejection>, before: Option<&Self>) -> Self {
        let status = Status {
            state: refusal.map_or(FileState::Serving, |refusal| refusal.state),
            hash: Some(what.artifact.hash.clone()),
            version: Some(what.artifact.version.clone()),
            error: refusal.map(Rejection::text),
            since: status::unix_seconds(),
        };
        Self { what: what.clone(), status: status.since(before.map(|before| &before.status)) }
    }

    /// Whether it may serve with other keys and pins than those that it was let in with.
    pub(super) fn may_stay(&self, plugins: &Plugins, name: &str) -> Result<(), LoadError> {
        trust::check_again(plugins, name, &self.what.artifact.hash, self.what.signer.as_ref())
    }

    pub(super) fn announce(&self) {
        let Candidate { artifact, signer } = &self.what;
        let Artifact { name, version, hash, .. } = &**artifact;
        match &self.status.error {
            None => {
                let signed_by = signer.as_ref().map(tracing::field::display);
                tracing::info!(plugin = %name, %version, %hash, signed_by, "plugin serves");
            }
            Some(error) => {
                tracing::warn!(plugin = %name, %version, error = %safe!(*error), "plugin file not used; its last good version serves on")
            }
        }
    }

    /// Who vouches for it, where anybody has to.
    pub(super) fn vouched(&self, name: &str, pinned: bool) -> Option<String> {
        let Candidate { artifact, signer } = &self.what;
        let how = match (signer, pinned) {
            (None, false) => return None,
            (None, true) => "pinned".to_owned(),
            (Some(signer), false) => format!("signed by {signer}"),
            (Some(signer), true) => format!("pinned, and signed by {signer}"),
        };
        Some(format!("plugin `{name}` {}: {how}", artifact.version))
    }

    /// For the admin listener.
    pub(super) fn describe(
        &self,
        name: &str,
        grants: Option<&Grants>,
        pinned: bool,
        routes: &BTreeSet<&str>,
    ) -> serde_json::Value {
        let Self { what: Candidate { artifact, signer }, status } = self;
        let grants = grants.cloned().unwrap_or_default();
        let signed_by = signer
            .as_ref()
            .map(|signer| serde_json::json!({"key": signer.id().to_string(), "comment": signer.comment}));
        serde_json::json!({
            "name": name,
            "version": artifact.version,
            "hash": artifact.hash,
            "signed_by": signed_by,
            "pinned": pinned,
            "state": status.state,
            "since": status.since,
            "last_error": status.error,
            "grants": {"upstreams": grants.upstreams, "secrets": grants.secrets},
            "imports": artifact.imports,
            "phases": artifact.phases.names(),
            "routes": routes,
        })
    }
}
