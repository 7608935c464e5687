//! The code map leads somewhere, and files say what they are for.

use std::path::PathBuf;

use crate::files::{repository, sources};

const ARCHITECTURE: &str = include_str!("../../../gateway/ARCHITECTURE.md");

#[test]
fn every_file_begins_with_what_it_is_for() {
    for source in sources("") {
        assert!(source.text.starts_with("//! "), "{} does not begin with `//! `", source.path);
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
        let of_row = |place| [source.join(place), repository().join(place)];
        let mut places: Vec<PathBuf> = quoted(first).flat_map(of_row).collect();
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
