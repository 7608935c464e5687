//! Mistakes in a config file: where each stands, what is wrong, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::contents::Contents;

/// One mistake, or one warning. Shown as `FILE:LINE:COLUMN: message`, without a place where it is one of the whole file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// The config file.
    pub file: PathBuf,
    /// Line, from 1; 0 for the whole file.
    pub line: usize,
    /// Column, from 1, in characters; 0 for the whole file.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl ConfigError {
    /// A mistake at a place.
    pub fn new(file: &Path, (line, column): (usize, usize), message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, message: message.into() }
    }

    /// A mistake of the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self::new(file, (0, 0), message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every mistake that was found, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    contents: Contents,
}

impl ConfigErrors {
    /// The errors, sorted by position, without repetitions.
    pub fn new(mut errors: Vec<ConfigError>) -> Self {
        errors.sort();
        errors.dedup();
        Self { errors, contents: Contents::default() }
    }

    /// Adds the files that the config names.
    pub(super) fn with_contents(self, contents: Contents) -> Self {
        Self { contents, ..self }
    }

    /// Files that the refused config names, as far as it was read, and what was in them: watch these as well, because what
    /// is wrong may be put right in one of them (a certificate that comes a moment after the config).
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The errors in the order of the file.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// Gives the errors away.
    pub fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self::new(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The end of a message about an unknown name: the nearest valid one, or all of them when none is near.
pub(super) fn suggest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let valid: Vec<&str> = valid.into_iter().collect();
    match nearest(name, valid.iter().copied()) {
        Some(candidate) => format!("did you mean \"{candidate}\"?"),
        None if valid.is_empty() => "there are none".to_owned(),
        None => format!("valid: {}", valid.join(", ")),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let distances = valid.into_iter().map(|valid| (strsim::osa_distance(&wanted, &valid.to_lowercase()), valid));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may be wrong; more than that is another word.
    let most = (candidate.chars().count().max(wanted.chars().count()) / 3).max(1);
    (distance <= most).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_and_shown_one_per_line() {
        let file = Path::new("gateway.yaml");
        let errors = ConfigErrors::new(vec![
            ConfigError::new(file, (10, 2), "late"),
            ConfigError::new(file, (9, 30), "early"),
            ConfigError::new(file, (10, 2), "late"),
            ConfigError::of_file(file, "all of it"),
        ]);
        let shown = "gateway.yaml: all of it\ngateway.yaml:9:30: early\ngateway.yaml:10:2: late";
        assert_eq!(errors.to_string(), shown);
    }

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        assert_eq!(suggest("upstrems", ["listeners", "upstreams"]), "did you mean \"upstreams\"?");
        assert_eq!(suggest("zzz", ["a", "b"]), "valid: a, b");
        assert_eq!(suggest("zzz", []), "there are none");
    }
}
