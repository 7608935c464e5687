//! Files of real packages, in which hardly anything is personal data: what is replaced in them went without need, unless
//! somebody looked at it and says otherwise.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use pii_redact::rules::Rules;

use crate::adapter::{marks, redact};
use crate::align::align;
use crate::measure::surroundings;

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

/// What is personal data or looks exactly like it, by category, the replaced text, and why it may go.
const REVIEWED: &[(&str, &str, &str)] = &[
    ("card", "4111111111111111", "the test number of Visa, as validators' documents show it"),
    ("card", "4111 1111 1111 1111", "the same"),
    ("card", "5555555555554444", "the test number of Mastercard"),
    ("card", "378282246310005", "the test number of American Express"),
    ("iban", "GB29NWBK60161331926819", "the example of the SWIFT IBAN registry"),
];

/// Ends of file names that look like domains behind an `@`.
const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "mjs", "ts", "css", "scss", "less", "json", "html"];

/// Reads all files below a directory.
pub(crate) fn measure(rules: &Rules, directory: &Path) -> Result<BTreeMap<&'static str, Kind>, String> {
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    let mut files = Vec::new();
    collect(directory, &mut files).map_err(|error| format!("{}: {error}", directory.display()))?;
    files.sort();
    for path in files {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let Some((name, _, content_type)) = KINDS.iter().find(|(_, all, _)| all.contains(&extension.as_str())) else {
            continue;
        };
        let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let short = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
        kinds.entry(name).or_default().file(rules, &short, content_type, &bytes[..bytes.len().min(LARGEST)]);
    }
    if kinds.is_empty() {
        return Err(format!("{}: no files", directory.display()));
    }
    Ok(kinds)
}

fn collect(directory: &Path, into: &mut Vec<std::path::PathBuf>) -> std::io::Result<()> {
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

fn is_reviewed(text: &str, category: &str, range: &Range<usize>) -> bool {
    let value = text[range.clone()].trim_matches('"');
    if category == "email" {
        return is_address(&text[..range.start], value, &text[range.end..]);
    }
    REVIEWED.iter().any(|(of, known, _)| *of == category && *known == value)
}

/// Whether it is an address, whoever it belongs to, and no user of a host (`ssh://git@host/path`, `git@host:path`) and no
/// file name.
fn is_address(before: &str, value: &str, after: &str) -> bool {
    let end = value.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    let domain = end.len() > 1 && end.chars().all(char::is_alphabetic) && !EXTENSIONS.contains(&end.as_str());
    domain && !before.ends_with("//") && !after.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_true_by_review_and_repositories_are_not() {
        for (text, reviewed) in
            [("kari@example.no", true), ("git@example.com:o/r", false), ("icon@2x.png", false), ("v@1.2.3", false)]
        {
            let end = text.find(':').unwrap_or(text.len());
            assert_eq!(is_reviewed(text, "email", &(0..end)), reviewed, "{text}");
        }
        assert!(!is_reviewed("98765432", "phone", &(0..8)));
    }

    #[test]
    fn quotes_go_with_a_number() {
        assert_eq!(unquoted(r#"{"a":"[~phone~]","b":"[x]"}"#), r#"{"a":[~phone~],"b":"[x]"}"#);
    }
}
