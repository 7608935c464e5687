//! Guests that nothing but a test would load: variants of built ones, and wasm binaries that no SDK makes.

use std::path::Path;

/// The bytes of a built plugin.
pub fn built(name: &str) -> Vec<u8> {
    let path = crate::gateway::built_plugin(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{} is needed ({error}); run `cargo xtask plugins` first", path.display()))
}

/// `test-guest` as another build: it says `test-guest-build-B` in `x-build`.
pub fn other_build() -> Vec<u8> {
    replaced(built("test-guest"), b"test-guest-build-A", b"test-guest-build-B")
}

/// `test-guest` as it was built before streams had their state in the exchange, as far as the gateway can tell: it holds an
/// instance for the length of a body.
pub fn holding_streams() -> Vec<u8> {
    const ATTRIBUTE: &[u8] = b"stream-state";
    let mut bytes = built("test-guest");
    // Functions have longer names that end in it.
    let is_attribute = |at: &usize| bytes[*at..].starts_with(ATTRIBUTE) && bytes[at - 1] != b'-';
    let places: Vec<usize> = (1..bytes.len()).filter(is_attribute).collect();
    assert!(!places.is_empty(), "it says where it keeps streams");
    for at in places {
        bytes[at..at + ATTRIBUTE.len()].copy_from_slice(b"unheard-of-x");
    }
    bytes
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

/// A core module of the text format that speaks the contract as a built plugin does: with its description of the
/// contract, and whatever functions the text exports.
pub fn speaking(text: &str) -> Vec<u8> {
    let mut bytes = wat(text);
    let built = built("test-guest");
    for section in sections(&built).filter(|section| is_description(section)) {
        bytes.extend_from_slice(section);
    }
    bytes
}

/// `on-log`, as [`of_contract`] takes it.
pub const ON_LOG: &str = "(func (export \"edge:gateway/handler@0.1.0#on-log\") (param i32) unreachable)";

/// A core module with the functions of the contract, of which only `describe` returns; `on_log` is the last of them, or nothing.
pub fn of_contract(describe: &str, on_log: &str) -> Vec<u8> {
    let function = |(name, params): (&str, &str)| {
        format!("(func (export \"edge:gateway/handler@0.1.0#{name}\") (param {params}) (result i32) unreachable)\n")
    };
    let functions: String = [
        ("configure", "i32 i32"),
        ("on-request-headers", "i32 i32"),
        ("on-request-body", "i32 i32 i32 i32"),
        ("on-response-headers", "i32 i32"),
        ("on-response-body", "i32 i32 i32 i32"),
        ("on-upstream-failure", "i32 i32"),
    ]
    .map(function)
    .concat();
    speaking(&format!(
        "(module (memory (export \"memory\") 1)
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)
         (func $describe (export \"edge:gateway/handler@0.1.0#describe\") (result i32) {describe})
         (func (export \"edge:gateway/handler@0.1.0#on-tick\"))
         {functions} {on_log})"
    ))
}

/// The sections of a wasm binary, each with its frame.
fn sections(binary: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &binary[8..];
    std::iter::from_fn(move || {
        let (length, digits) = number(rest.get(1..)?)?;
        let (section, tail) = rest.split_at(1 + digits + length);
        rest = tail;
        Some(section)
    })
}

/// Whether it is the custom section that describes the contract.
fn is_description(section: &[u8]) -> bool {
    const NAME: &[u8] = b"component-type";
    section[0] == 0 && section.windows(NAME.len()).take(12).any(|window| window == NAME)
}

/// An unsigned LEB128 number, and how many bytes it takes.
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let digits = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let value = bytes[..digits].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    Some((value, digits))
}
