//! Reads a config file and everything that it names, with every mistake at once.

use std::io;
use std::path::Path;

use super::contents::Contents;
use super::context::{Context, RouteNames, parse as parse_node};
use super::error::{ConfigError, ConfigErrors};
use super::fields::Object;
use super::places::Places;
use super::resolve::resolve;
use super::sections::sections;
use super::yaml;
use crate::model::Config;
use crate::watch::read_settled;

/// A config file that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Every file that was read or is named: the config file, certificates, keys, CA files, secrets. What is used of them
    /// was in them when this was noted, or came later; never earlier.
    pub contents: Contents,
    /// Where things stand that can turn out wrong later.
    pub places: Places,
    /// What is allowed but odd, such as an upstream that nothing uses.
    pub warnings: Vec<ConfigError>,
}

/// Reads a config file, with the process's environment.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let bytes = whole(path, read_settled(path, yaml::MAX_BYTES as u64))?;
    let mut contents = Contents::default();
    contents.note(path, &bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        let column = String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1;
        ConfigErrors::from(ConfigError::new(path, (line, column), "this is not UTF-8; save the file as UTF-8"))
            .with_contents(contents)
    })?;
    parse_all(&text, path, &|name| std::env::var(name).ok())
}

/// What was read of a config file, where it is the whole.
pub(super) fn whole(path: &Path, read: io::Result<Option<Vec<u8>>>) -> Result<Vec<u8>, ConfigErrors> {
    let mut contents = Contents::default();
    let message = match read {
        Ok(Some(bytes)) => return Ok(bytes),
        Ok(None) => {
            contents.miss(path);
            "changed while it was read; write a new file and rename it into place".to_owned()
        }
        Err(error) => {
            contents.add(path);
            let tried = std::path::absolute(path).ok().filter(|absolute| absolute != path);
            let tried = tried.map(|tried| format!("; tried {}", tried.display())).unwrap_or_default();
            format!("can't be read: {error}{tried}")
        }
    };
    Err(ConfigErrors::from(ConfigError::of_file(path, message)).with_contents(contents))
}

/// Parses a config. `file` is for messages, and its directory is where relative paths start.
pub fn parse(text: &str, file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    parse_all(text, file, env).map(|loaded| loaded.config)
}

/// As [`parse`], with the files that the config names and with warnings.
pub fn parse_all(text: &str, file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let mut contents = Contents::default();
    contents.note(file, text.as_bytes());
    let tree = yaml::parse(text, file, env).map_err(|errors| errors.with_contents(contents.clone()))?;
    // Whatever is said of a file later names the path that was tried.
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = absolute.parent().unwrap_or(Path::new(""));
    let mut context = Context {
        file,
        directory,
        environment: env,
        errors: tree.errors,
        warnings: Vec::new(),
        contents,
        places: Places::default(),
        names: RouteNames::default(),
        sent_secrets: Vec::new(),
    };
    let raw = parse_node(&Object(sections), &tree.root, &mut context);
    let config = raw.and_then(|raw| resolve(raw, &mut context));
    let Context { mut errors, mut warnings, contents, places, .. } = context;
    match config {
        Some(config) if errors.is_empty() => {
            warnings.sort();
            Ok(Loaded { config, contents, places, warnings })
        }
        _ => {
            if errors.is_empty() {
                // Unreachable as long as whoever gives `None` notes an error; better said than believed.
                errors.push(ConfigError::new(file, (1, 1), "the config could not be read"));
            }
            Err(ConfigErrors::new(errors).with_contents(contents))
        }
    }
}
