//! What a plugin doesn't use is not among its imports, and so needs no grant. This holds for a plugin as it is built,
//! so the test looks at the wasm file in the directory that `GATEWAY_PLUGINS` names, where it is set.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use wit_component::{ComponentEncoder, DecodedWasm};

/// Names of the interfaces that a core module built with this SDK imports.
fn imports(module: &[u8]) -> Vec<String> {
    let component = ComponentEncoder::default().module(module).unwrap().encode().unwrap();
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component).unwrap() else {
        panic!("not a component");
    };
    let names = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn hello_imports_nothing_that_needs_a_grant() {
    let Some(directory) = std::env::var_os("GATEWAY_PLUGINS").map(PathBuf::from) else {
        eprintln!("skipped: GATEWAY_PLUGINS is not set (`cargo xtask plugins` builds the plugins)");
        return;
    };
    let found = ["hello-plugin.wasm", "hello_plugin.wasm"].map(|name| directory.join(name));
    let file = found.iter().find(|file| file.exists());
    let file = file.unwrap_or_else(|| panic!("GATEWAY_PLUGINS is {} but {found:?} is missing", directory.display()));
    let imports = imports(&std::fs::read(file).unwrap());
    assert_eq!(imports, ["http", "sys", "types"].map(|name| format!("edge:gateway/{name}@0.1.0")));
}
