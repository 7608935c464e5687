//! From the bytes of a file to a component: core modules are encoded, and their handler exported once more (see
//! [`reexport`](super::reexport)), components pass, everything else is refused by name. The walk over the sections sees
//! only their frame; the engine validates what is inside.

use wasmparser::{BinaryReader, CustomSectionReader, ExportSectionReader, ImportSectionReader};

use super::error::{LoadError, one_line};
use super::reexport::reexport;

const MAGIC: &[u8] = b"\0asm";
const CORE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// What the frame of a binary tells.
#[derive(Debug, Default)]
struct Outline {
    component_type: bool,
    /// Packages, with their versions, that the description of the contract names.
    described: std::collections::BTreeSet<String>,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Turns the bytes of a plugin file into a component.
pub(crate) fn componentize(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let header = bytes.get(..8).ok_or_else(|| short(bytes))?;
    if !header.starts_with(MAGIC) {
        return Err(LoadError::NotWasm(describe_start(bytes)));
    }
    let core = match &header[4..] {
        version if version == CORE => true,
        version if version == COMPONENT => false,
        version => return Err(LoadError::NotWasm(format!("unknown binary version {version:02x?}"))),
    };
    let outline = outline(&bytes[8..], core)?;
    if !core {
        return Ok(bytes.to_vec());
    }
    if !outline.component_type {
        return Err(foreign(&outline));
    }
    if let Some(import) = outline.imports.iter().find(|import| !import.starts_with(super::grants::PACKAGE)) {
        super::grants::classify(import)?;
    }
    one_package(&outline)?;
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .and_then(wit_component::ComponentEncoder::encode)
        .map_err(|error| explain(&format!("{error:#}")))?;
    Ok(reexport(&component).unwrap_or(component))
}

/// Walks the sections to the very end, so that a file cut anywhere is known to be cut.
fn outline(body: &[u8], core: bool) -> Result<Outline, LoadError> {
    let mut outline = Outline::default();
    let cut = |_| LoadError::Incomplete("it ends in the middle of a section".to_owned());
    let mut reader = BinaryReader::new(body, 0);
    while !reader.eof() {
        let id = reader.read_u8().map_err(cut)?;
        let length = reader.read_var_u32().map_err(cut)?;
        let section = reader.read_bytes(usize::try_from(length).unwrap_or(usize::MAX)).map_err(cut)?;
        if core {
            read_section(id, section, &mut outline)
                .map_err(|_| LoadError::Invalid(format!("section {id} is malformed")))?;
        }
    }
    Ok(outline)
}

/// The packages of all interface names (`NAMESPACE:PACKAGE/INTERFACE@VERSION`) in a description.
fn packages(description: &[u8]) -> Vec<String> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':');
    let mut found = Vec::new();
    for slash in description.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
        let start = description[..slash].iter().rposition(|byte| !word(byte)).map_or(0, |at| at + 1);
        let package = String::from_utf8_lossy(&description[start..slash]);
        // A name begins with a letter; what stands before it is its length, which may look like a digit.
        let package = package.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned();
        // `http://` in a comment is no name.
        if !package.split_once(':').is_some_and(|(space, name)| !space.is_empty() && !name.is_empty()) {
            continue;
        }
        let rest = &description[slash + 1..];
        let interface = rest.iter().position(|byte| !word(byte)).unwrap_or(rest.len());
        if interface == 0 {
            continue;
        }
        let version = match rest[interface..].strip_prefix(b"@") {
            Some(version) => {
                let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+');
                let end = version.iter().position(|byte| !part(byte)).unwrap_or(version.len());
                String::from_utf8_lossy(&version[..end]).into_owned()
            }
            None => String::new(),
        };
        found.push(format!("{package}/types@{version}"));
    }
    found
}

/// The encoder recurses without end over packages that need each other, so there may be one only: the contract, in one
/// version that this host speaks.
fn one_package(outline: &Outline) -> Result<(), LoadError> {
    for name in &outline.described {
        super::grants::classify(name)?;
    }
    if outline.described.len() > 1 {
        let versions: Vec<&str> = outline.described.iter().filter_map(|name| Some(name.split_once('@')?.1)).collect();
        return Err(LoadError::Invalid(format!("mixes versions of the contract: {}", versions.join(", "))));
    }
    Ok(())
}

fn read_section(id: u8, section: &[u8], outline: &mut Outline) -> wasmparser::Result<()> {
    let section = BinaryReader::new(section, 0);
    match id {
        0 => {
            let custom = CustomSectionReader::new(section)?;
            if custom.name().starts_with("component-type") {
                outline.component_type = true;
                outline.described.extend(packages(custom.data()));
            }
        }
        2 => {
            for import in ImportSectionReader::new(section)?.into_imports() {
                outline.imports.push(import?.module.to_owned());
            }
        }
        7 => {
            for export in ExportSectionReader::new(section)? {
                outline.exports.push(export?.name.to_owned());
            }
        }
        _ => {}
    }
    Ok(())
}

/// A core module without the contract's description: whose is it?
fn foreign(outline: &Outline) -> LoadError {
    let exports = |name: &str| outline.exports.iter().any(|export| export == name);
    let imports = |name: &str| outline.imports.iter().any(|import| import == name);
    if let Some(version) = outline.exports.iter().find_map(|export| export.strip_prefix("proxy_abi_version_")) {
        return LoadError::ForeignAbi { abi: format!("proxy-wasm {}", version.replace('_', ".")) };
    }
    if imports("http_handler") || (exports("handle_request") && exports("handle_response")) {
        return LoadError::ForeignAbi { abi: "http-wasm".to_owned() };
    }
    if imports("wasi_snapshot_preview1") || imports("wasi_unstable") {
        return LoadError::ForeignAbi { abi: "WASI preview 1 (build for wasm32-unknown-unknown)".to_owned() };
    }
    LoadError::Export(
        "a core module without the contract's description (custom section `component-type`); build it with the \
         plugin SDK and don't strip custom sections"
            .to_owned(),
    )
}

/// wit-component's refusals in our words, where they are about something that an author does wrong.
fn explain(message: &str) -> LoadError {
    let message = one_line(message, 600);
    if message.contains("failed to find export") || message.contains("export") && message.contains("not found") {
        return LoadError::Export(format!("an export is missing: {message}"));
    }
    LoadError::Invalid(message)
}

fn short(bytes: &[u8]) -> LoadError {
    if bytes.is_empty() || MAGIC.starts_with(&bytes[..bytes.len().min(4)]) || bytes.starts_with(MAGIC) {
        LoadError::Incomplete("it ends before its header does".to_owned())
    } else {
        LoadError::NotWasm(describe_start(bytes))
    }
}

/// What it is instead, as far as that is no secret: the file may be a link to one that whoever reads the log, the status
/// file or the admin page has no right to read, so nothing of what is in it is repeated.
fn describe_start(bytes: &[u8]) -> String {
    const KINDS: [(&[u8], &str); 6] = [
        (b"(module", "it is wasm text; compile it first"),
        (b"(component", "it is wasm text; compile it first"),
        (b"\x1f\x8b", "it is compressed (gzip); unpack it first"),
        (b"PK\x03\x04", "it is a zip archive; unpack it first"),
        (b"\x7fELF", "it is a program for this machine; build it for wasm32-unknown-unknown"),
        (b"!<arch>", "it is a static library; build a `cdylib` for wasm32-unknown-unknown"),
    ];
    let kind = KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind);
    kind.unwrap_or("it does not begin with `\\0asm`").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wat: &str) -> String {
        componentize(&wat::parse_str(wat).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn foreign_abis_are_named() {
        let message = refusal(r#"(module (func (export "proxy_abi_version_0_2_1")))"#);
        assert!(message.contains("proxy-wasm 0.2.1"), "{message}");
        let message = refusal(r#"(module (func (export "handle_request")) (func (export "handle_response")))"#);
        assert!(message.contains("http-wasm"), "{message}");
        let message = refusal(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
        assert!(message.contains("wasm32-unknown-unknown"), "{message}");
        assert!(refusal("(module)").contains("component-type"));
    }

    #[test]
    fn nothing_of_a_file_that_is_no_plugin_is_shown() {
        for content in ["root:$6$hunter2", "hunt", "h", "-----BEGIN PRIVATE KEY-----", "{\"token\": 1}", "\u{feff}x"] {
            let message = componentize(content.as_bytes()).unwrap_err().to_string();
            assert_eq!(message, "not a wasm binary: it does not begin with `\\0asm`");
        }
        assert!(componentize(b"\x7fELF....").unwrap_err().to_string().contains("wasm32-unknown-unknown"));
    }

    #[test]
    fn a_cut_file_is_incomplete_not_invalid() {
        let whole =
            wat::parse_str(r#"(module (func (export "f")) (memory 1) (data (i32.const 0) "0123456789"))"#).unwrap();
        for end in 0..whole.len() {
            match componentize(&whole[..end]).unwrap_err() {
                LoadError::Incomplete(_) => {}
                // Cut between two sections it is a valid, smaller module: only its own description can tell.
                LoadError::Export(_) => {}
                other => panic!("{end}: {other}"),
            }
        }
    }

    #[test]
    fn random_bytes_are_refused() {
        let mut bytes = vec![0_u8; 4096];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            random.fill(&mut bytes);
            assert!(matches!(componentize(&bytes), Err(LoadError::NotWasm(_))));
            bytes[..8].copy_from_slice(b"\0asm\x01\0\0\0");
            assert!(componentize(&bytes).is_err());
        }
    }
}
