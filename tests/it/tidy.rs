//! Rules that no compiler checks: the code map leads somewhere, files say what they are for, and stay readable.

use std::path::{Path, PathBuf};

const ARCHITECTURE: &str = include_str!("../../gateway/ARCHITECTURE.md");

/// Lines of a file without its tests; what is longer holds more than one concept.
const LONGEST: usize = 600;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below a directory, except what was built and what belongs to nobody here.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, into);
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources(&repository(), &mut files);
    assert!(files.len() > 200, "only {} files", files.len());
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).expect("readable"))).collect()
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for (path, text) in all_sources() {
        assert!(text.starts_with("//! "), "{} does not begin with `//! `", path.display());
    }
}

#[test]
fn no_file_is_too_long_to_be_read() {
    for (path, text) in all_sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= LONGEST, "{} has {lines} lines without its tests", path.display());
    }
}

/// What stands between backticks on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether this is how the documents write a place in the source.
fn is_path(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./".contains(&byte));
    plain && (text.ends_with(".rs") || text.trim_end_matches('/').contains('/') || text.ends_with('/'))
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let source = repository().join("gateway/src");
    let mut named = 0;
    for line in ARCHITECTURE.lines() {
        // A row of the code map begins with directories, and goes on with files in one of them.
        let (first, _) = line.trim_start_matches("| ").split_once(" | ").unwrap_or_default();
        let mut places: Vec<PathBuf> = quoted(first).map(|place| source.join(place)).collect();
        places.extend([source.clone(), repository()]);
        for path in quoted(line).filter(|text| is_path(text)) {
            named += 1;
            let found = places
                .iter()
                .map(|place| place.join(path))
                .any(|path| path.exists() || path.with_extension("rs").is_file());
            assert!(found, "gateway/ARCHITECTURE.md names `{path}`, which does not exist");
        }
    }
    assert!(named > 60, "only {named} paths were found");
}

#[test]
fn everything_at_the_top_of_the_source_is_in_the_code_map() {
    for entry in std::fs::read_dir(repository().join("gateway/src")).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = if path.is_dir() { format!("`{name}/`") } else { format!("`{name}`") };
        let known = ARCHITECTURE.lines().any(|line| line.starts_with("| `") && line.contains(&wanted));
        assert!(known || name == "lib.rs", "{wanted} is not in the code map of gateway/ARCHITECTURE.md");
    }
}
