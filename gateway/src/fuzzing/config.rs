//! Any text as a config file: it is parsed or refused, and every complaint has a place inside the text.

use std::path::Path;

use crate::config::parse_all;

/// Input: the text of `gateway.yaml`.
///
/// # Panics
/// Where an error or a warning stands outside of the text, or says nothing.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| match name {
        "PORT" => Some("8080".to_owned()),
        "HOST" => Some("127.0.0.1".to_owned()),
        "TEXT" => Some("a: [b\n".to_owned()),
        _ => None,
    };
    // A directory that does not exist: the files that the text names are missing.
    let complaints = match parse_all(text, Path::new("/nonexistent/gateway.yaml"), &environment) {
        Ok(loaded) => loaded.warnings,
        Err(errors) => {
            assert!(!errors.errors().is_empty(), "refused without a reason");
            errors.into_errors()
        }
    };
    let lines = line_lengths(text);
    for complaint in complaints {
        let length = complaint.line.checked_sub(1).and_then(|index| lines.get(index));
        // One past the end is where something is missing.
        let inside = length.is_some_and(|length| (1..=length + 1).contains(&complaint.column));
        assert!(inside, "{complaint}: not a place in a text of lines with {lines:?} characters");
        assert!(!complaint.message.is_empty());
    }
}

/// The characters of each line; YAML breaks lines at LF, CR LF and CR.
fn line_lengths(text: &str) -> Vec<usize> {
    text.replace("\r\n", "\n").split(['\n', '\r']).map(|line| line.chars().count()).collect()
}
