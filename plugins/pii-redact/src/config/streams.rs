//! The part of the config about streams in which texts go on from event to event.

use serde::Deserialize;

use super::Mistake;
use super::compile::mistake;
use crate::deltas::paths::{PRESETS, Paths};

/// Streams in which texts go on from event to event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// Families of streams, all known ones where it is missing.
    pub presets: Option<Vec<String>>,
    /// Paths of further texts.
    pub paths: Vec<String>,
}

impl Streams {
    pub(super) fn compile(&self, mistakes: &mut Vec<Mistake>) -> Paths {
        let mut paths = if self.presets.is_some() { Paths::none() } else { Paths::default() };
        for (index, preset) in self.presets.iter().flatten().enumerate() {
            if !paths.add_preset(preset) {
                let known = PRESETS.map(|(name, _)| name).join(", ");
                let message = format!("there is no preset `{preset}`; known are {known}");
                mistakes.push(mistake(&format!("/streams/presets/{index}"), message));
            }
        }
        if let Err(wrong) = paths.add_all(&self.paths) {
            let wrong = wrong.into_iter();
            mistakes.extend(wrong.map(|(index, message)| mistake(&format!("/streams/paths/{index}"), message)));
        }
        paths
    }
}
