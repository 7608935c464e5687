//! Files of real packages, in which hardly anything is personal data: what is replaced in them went without need, unless
//! somebody looked at it and says otherwise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pii_redact::rules::Rules;

use crate::adapter::{marks, redact};
use crate::align::align;
use crate::measure::surroundings;
use crate::review::is_reviewed;

/// Bytes that come at once.
const CHUNK: usize = 64 * 1024;
/// A file that is larger is cut here.
const LARGEST: usize = 4 * 1024 * 1024;

/// What was replaced in files of one kind.
#[derive(Default)]
pub(crate) struct Kind {
    /// How many there were.
    pub(crate) files: u64,
    /// Their size.
    pub(crate) bytes: u64,
    /// What was replaced with reason.
    pub(crate) reviewed: u64,
    /// What was replaced without.
    pub(crate) hits: Vec<Hit>,
    /// Files of which the output is no copy with parts replaced.
    pub(crate) mangled: Vec<String>,
}

/// Something that was replaced without need.
pub(crate) struct Hit {
    /// The file, below the directory.
    pub(crate) path: String,
    /// What it was taken for.
    pub(crate) category: &'static str,
    /// It and what stands around it.
    pub(crate) around: String,
}

/// The kinds of files, by extension, and the type that a server would send them with.
const KINDS: [(&str, &[&str], &str); 9] = [
    ("JavaScript", &["js", "mjs", "cjs", "ts"], "text/javascript"),
    ("HTML", &["html", "htm"], "text/html"),
    ("SVG", &["svg"], "image/svg+xml"),
    ("JSON", &["json", "map", "webmanifest"], "application/json"),
    ("YAML", &["yaml", "yml"], "application/yaml"),
    ("CSS", &["css", "scss"], "text/css"),
    ("Markdown", &["md", "markdown", "rst"], "text/markdown"),
    ("lock files and logs", &["lock", "log", "toml", "txt", "csv"], "text/plain"),
    ("XML", &["xml", "xsd", "graphql"], "application/xml"),
];

/// Reads all files below the directories.
pub(crate) fn measure(rules: &Rules, directories: &[PathBuf]) -> Result<BTreeMap<&'static str, Kind>, String> {
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    for directory in directories {
        let mut files = Vec::new();
        collect(directory, &mut files).map_err(|error| format!("{}: {error}", directory.display()))?;
        files.sort();
        read(rules, directory, &files, &mut kinds)?;
    }
    Ok(kinds)
}

fn read(
    rules: &Rules,
    directory: &Path,
    files: &[PathBuf],
    kinds: &mut BTreeMap<&'static str, Kind>,
) -> Result<(), String> {
    // The directory's own name says which package it is.
    let above = directory.parent().unwrap_or(directory);
    for path in files {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let Some((name, _, content_type)) = KINDS.iter().find(|(_, all, _)| all.contains(&extension.as_str())) else {
            continue;
        };
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let short = path.strip_prefix(above).unwrap_or(path).display().to_string();
        kinds.entry(name).or_default().file(rules, &short, content_type, &bytes[..bytes.len().min(LARGEST)]);
    }
    Ok(())
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), into)?;
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
    Ok(())
}

impl Kind {
    fn file(&mut self, rules: &Rules, path: &str, content_type: &str, bytes: &[u8]) {
        let Ok(original) = std::str::from_utf8(bytes) else { return };
        self.files += 1;
        self.bytes += bytes.len() as u64;
        let chunks: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
        let output = redact(rules, content_type, &chunks);
        if output == bytes {
            return;
        }
        let text = String::from_utf8_lossy(&output);
        // A JSON number becomes a string, whose quotes go with it.
        let Some(masked) = align(original, &text, &[]).or_else(|| align(original, &unquoted(&text), &[])) else {
            self.mangled.push(path.to_owned());
            return;
        };
        for part in masked {
            if is_reviewed(original, part.category, &part.range) {
                self.reviewed += 1;
            } else {
                let around = surroundings(original, &part.range).replace(['\n', '\r'], "⏎");
                self.hits.push(Hit { path: path.to_owned(), category: part.category, around });
            }
        }
    }
}

/// The text with the quotes of those strings taken off that hold a mark alone.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _, length) in marks(text) {
        let end = at + length;
        if text[..at].ends_with('"') && text[end..].starts_with('"') {
            out.push_str(&text[from..at - 1]);
            out.push_str(&text[at..end]);
            from = end + 1;
        }
    }
    out + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_go_with_a_number() {
        assert_eq!(unquoted(r#"{"a":"(~phone~)","b":"[x]"}"#), r#"{"a":(~phone~),"b":"[x]"}"#);
    }
}
