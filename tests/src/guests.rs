//! Guests that nothing but a test would load: variants of built ones, and wasm binaries that no SDK makes.

use std::path::Path;

/// The bytes of a built plugin.
pub fn built(name: &str) -> Vec<u8> {
    let path = crate::gateway::built_plugins().join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{} is needed ({error}); run `cargo xtask plugins` first", path.display()))
}

/// `test-guest` as another build: it says `test-guest-build-B` in `x-build`.
pub fn other_build() -> Vec<u8> {
    replaced(built("test-guest"), b"test-guest-build-A", b"test-guest-build-B")
}

/// A copy with every occurrence of some bytes replaced by as many others.
pub fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "the binary keeps its layout");
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{} is not in the binary", String::from_utf8_lossy(from));
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// A core module of the text format.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Puts a file into a directory as one change.
pub fn put(directory: &Path, name: &str, bytes: &[u8]) {
    let part = directory.join(format!(".{name}.part"));
    std::fs::write(&part, bytes).expect("written");
    std::fs::rename(part, directory.join(name)).expect("renamed");
}
