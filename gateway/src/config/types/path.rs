//! Paths of files.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::scalar::Text;
use crate::config::context::{Context, Type};
use crate::config::tree::Node;

/// A file that must be there; relative paths start at the config file's directory. Noted in [`Context::contents`].
pub(in crate::config) struct ExistingFile;

impl Type for ExistingFile {
    type Value = PathBuf;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<PathBuf> {
        let path = FilePath.parse(node, context)?;
        context.places.files.entry(path.clone()).or_insert(node.position);
        // Before anybody reads it, so that a change after this is seen as one.
        context.contents.add(&path);
        // A pipe or device would block the reader; opening tells whether the gateway may read it.
        let problem = match std::fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => "it is not a regular file".to_owned(),
            Ok(_) => match std::fs::File::open(&path) {
                Ok(_) => return Some(path),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let tried = if node.may_be_shown() { format!(" ({})", path.display()) } else { String::new() };
        context.error(node.position, format!("{} can't be read{tried}: {problem}", node.describe()));
        None
    }

    fn schema(&self) -> Value {
        FilePath.schema()
    }
}

/// A path; relative ones start at the config file's directory.
pub(in crate::config) struct FilePath;

impl Type for FilePath {
    type Value = PathBuf;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<PathBuf> {
        let text = Text.parse(node, context)?;
        if text.is_empty() || text.contains('\0') {
            context.error(node.position, "expected a path");
            return None;
        }
        Some(context.directory.join(text))
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "minLength": 1})
    }
}
