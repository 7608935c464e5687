//! Where a plugin trapped: the function, and where in its source, by the debug information of its file, which is read only when
//! somebody is told.
//!
//! The engine could keep that information and look up each frame of each trap itself; that would take milliseconds of the
//! worker's time, for a trap that costs next to nothing otherwise.

use std::collections::HashMap;

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use wasmparser::{Encoding, Parser, Payload, TypeRef};

/// A place in a module's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePlace {
    /// Index of the function, imported ones counted.
    pub function: u32,
    /// Bytes from the beginning of its body.
    pub offset: usize,
}

/// The innermost function of the plugin's own on the stack of a trap: panics end in functions of the standard library's.
pub(super) fn trapped_in(error: &wasmtime::Error) -> Option<(String, Option<CodePlace>)> {
    let frames = error.downcast_ref::<wasmtime::WasmBacktrace>()?.frames();
    let named = frames.iter().filter_map(|frame| {
        // Without the hash that tells versions of a crate apart.
        let name = format!("{:#}", rustc_demangle::demangle(frame.func_name()?));
        let at = frame.func_offset().map(|offset| CodePlace { function: frame.func_index(), offset });
        Some((name, at))
    });
    let mut named = named.peekable();
    let innermost = named.peek().cloned();
    named.find(|(name, _)| !is_of_the_library(name)).or(innermost)
}

/// Whether a function is of Rust's own: `core::…`, `<alloc::…>::…`, `__rustc::rust_panic`.
fn is_of_the_library(name: &str) -> bool {
    let path = name.trim_start_matches(['<', '&', '*']);
    ["core::", "std::", "alloc::", "dlmalloc", "__rust", "rust_", "_rust", "abort"]
        .iter()
        .any(|own| path.starts_with(own))
}

/// `FILE:LINE`, where the core module says so. The innermost that is not of Rust's own library.
pub(super) fn line(module: &[u8], at: CodePlace) -> Option<String> {
    let (mut sections, mut functions, mut code, mut start) = (HashMap::new(), 0, 0, None);
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::Version { encoding: Encoding::Component, .. } => return None,
            Payload::ImportSection(imports) => {
                let imported = imports.into_imports().filter_map(|import| Some(import.ok()?.ty));
                functions += u32::try_from(imported.filter(|ty| matches!(ty, TypeRef::Func(_))).count()).ok()?;
            }
            Payload::CodeSectionStart { unchecked_range, .. } => code = unchecked_range.start,
            Payload::CodeSectionEntry(body) => {
                if functions == at.function {
                    start = Some(body.range().start);
                }
                functions += 1;
            }
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                sections.insert(section.name(), section.data());
            }
            _ => {}
        }
    }
    // What DWARF calls an address is a place in the code section.
    let address = start?.checked_sub(code)? + at.offset as u64;
    let section = |id: gimli::SectionId| {
        Ok::<_, gimli::Error>(EndianSlice::new(sections.get(id.name()).copied().unwrap_or_default(), LittleEndian))
    };
    let bytes =
        |of: &str| sections.iter().filter(|(name, _)| name.starts_with(of)).map(|(_, data)| data.len()).sum::<usize>();
    if bytes(".debug_") > MOST_BYTES || bytes(".debug_line") > MOST_LINE_BYTES {
        return None;
    }
    let mut dwarf = gimli::Dwarf::load(section).ok()?;
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::All);
    if !is_modest(&dwarf) {
        return None;
    }
    let context = addr2line::Context::from_dwarf(dwarf).ok()?;
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    let mut innermost = None;
    while let Ok(Some(frame)) = frames.next() {
        let Some((file, line)) = frame.location.and_then(|location| Some((location.file?, location.line?))) else {
            continue;
        };
        let place = format!("{file}:{line}");
        if !file.contains("/library/core/") && !file.contains("/library/std/") && !file.contains("/library/alloc/") {
            return Some(place);
        }
        innermost.get_or_insert(place);
    }
    innermost
}

// The file is a stranger's, and what reads its debug information makes much of a byte, and a call of every nested entry. What a
// compiler makes of a plugin stays far below.
const MOST_BYTES: usize = 32 << 20;
const MOST_LINE_BYTES: usize = 4 << 20;
const MOST_UNITS: usize = 10_000;
const MOST_ENTRIES: usize = 1_000_000;
const MOST_DEPTH: isize = 256;

/// Whether debug information can be read within bounds.
fn is_modest<R: gimli::Reader>(dwarf: &gimli::Dwarf<R>) -> bool {
    let walked = || -> Result<bool, gimli::Error> {
        let (mut units, mut headers, mut entries) = (0, dwarf.units(), 0);
        while let Some(header) = headers.next()? {
            units += 1;
            let unit = dwarf.unit(header)?;
            let mut raw = unit.entries_raw(None)?;
            while !raw.is_empty() {
                entries += 1;
                if units > MOST_UNITS || entries > MOST_ENTRIES || raw.next_depth() > MOST_DEPTH {
                    return Ok(false);
                }
                if let Some(abbreviation) = raw.read_abbreviation()? {
                    raw.skip_attributes(abbreviation.attributes())?;
                }
            }
        }
        Ok(true)
    };
    walked().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module of one function, with debug information in which calls are inlined into each other so many times.
    fn nested(depth: usize) -> Vec<u8> {
        // DWARF 4: a unit and a subprogram from 0 on, and subroutines without anything but what is in them.
        let abbreviations: &[u8] =
            &[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, 2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, 3, 0x1d, 1, 0, 0, 0];
        let place = [&0u32.to_le_bytes()[..], &1000u32.to_le_bytes()].concat();
        let entries = [&[1][..], &place, &[2], &place, &vec![3; depth], &vec![0; depth + 2]].concat();
        let unit = [&4u16.to_le_bytes()[..], &0u32.to_le_bytes(), &[4], &entries].concat();
        let info = [&u32::try_from(unit.len()).unwrap().to_le_bytes()[..], &unit].concat();
        let mut module = wat::parse_str("(module (func unreachable))").unwrap();
        for (name, data) in [(".debug_abbrev", abbreviations), (".debug_info", &info)] {
            let section = [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), data].concat();
            let (mut size, mut length) = (Vec::new(), section.len());
            while length >= 0x80 {
                size.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            size.push(u8::try_from(length).unwrap());
            module.extend([&[0][..], &size, &section].concat());
        }
        module
    }

    #[test]
    fn calls_that_are_inlined_without_an_end_are_not_followed() {
        let at = CodePlace { function: 0, offset: 1 };
        for depth in [3, 1_000_000] {
            assert_eq!(line(&nested(depth), at), None, "there are no lines");
        }
    }

    #[test]
    fn a_panic_is_told_by_the_plugins_own_function() {
        for name in
            ["core::panicking::panic_fmt", "<alloc::vec::Vec<T> as core::ops::Index>::index", "__rustc::rust_panic"]
        {
            assert!(is_of_the_library(name), "{name}");
        }
        assert!(!is_of_the_library("<auth::Auth as plugin_sdk::Plugin>::on_request_headers"));
    }

    #[test]
    fn a_module_without_debug_information_has_no_lines() {
        let module = wat::parse_str("(module (func (import \"a\" \"b\")) (func unreachable))").unwrap();
        assert_eq!(line(&module, CodePlace { function: 1, offset: 1 }), None);
        assert_eq!(line(&wat::parse_str("(component)").unwrap(), CodePlace { function: 1, offset: 1 }), None);
        assert_eq!(line(b"nothing", CodePlace { function: 0, offset: 0 }), None);
    }
}
