//! Where things stand in the file that can turn out wrong after it was read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::Position;

/// Line and column of what can turn out wrong only after the config was read. The first place, where there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub(super) files: HashMap<PathBuf, Position>,
    pub(super) listeners: HashMap<Arc<str>, Position>,
    pub(super) upstreams: HashMap<Arc<str>, Position>,
    pub(super) audit: Option<Position>,
}

impl Places {
    /// Where a file is named.
    pub fn file(&self, file: &Path) -> Option<Position> {
        self.files.get(file).copied()
    }

    /// Where a listener's name stands.
    pub fn listener(&self, name: &str) -> Option<Position> {
        self.listeners.get(name).copied()
    }

    /// Where the audit trail's directory is named.
    pub const fn audit(&self) -> Option<Position> {
        self.audit
    }

    /// Where an upstream's name stands.
    pub fn upstream(&self, name: &str) -> Option<Position> {
        self.upstreams.get(name).copied()
    }
}
