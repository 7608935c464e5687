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

#[cfg(test)]
mod tests {
    use crate::config::{Config, Settings};

    fn compiled(config: &serde_json::Value) -> Result<Settings, Vec<String>> {
        let config: Config = serde_json::from_value(config.clone()).unwrap();
        config.compile().map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.pointer).collect())
    }

    #[test]
    fn presets_and_paths_are_checked() {
        let wrong = serde_json::json!({
            "streams": {"presets": ["openai", "x"], "paths": ["a.b", "a..b", "choices[*].c"]}
        });
        assert_eq!(compiled(&wrong).unwrap_err(), ["/streams/presets/1", "/streams/paths/1", "/streams/paths/2"]);
        let own = compiled(&serde_json::json!({"streams": {"presets": [], "paths": ["a[].b"]}})).unwrap();
        assert_ne!(own.rules.paths(), compiled(&serde_json::json!({})).unwrap().rules.paths());
    }
}
