//! A new build of a plugin, dropped into the watched directory while requests run.
//!
//! The new build is what a developer would make of `examples/hello-plugin`: a copy of its source with one line edited
//! and a higher version, compiled like any plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::client::Protocol;
use super::stage::{Stage, eventually};
use super::steps::{SHOP_KEY, with_key};
use crate::Result;
use crate::process::{cargo, root, run, target_directory};
use crate::wasm_target;

/// The line that is edited, before and after.
const EDIT: (&str, &str) = ("&self.value)", "&self.value.to_uppercase())");
/// The header's value, before and after.
const VALUE: (&str, &str) = ("hei", "HEI");

/// Builds the next version of hello-plugin.
pub(super) fn build_next_version() -> Result<PathBuf> {
    let directory = target_directory()?.join("demo/hello-next");
    let source = root().join("examples/hello-plugin/src/lib.rs");
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let text = fs::read_to_string(&source).map_err(at(&source))?;
    if !text.contains(EDIT.0) {
        return Err(format!("{} has no `{}` that the demo could edit", source.display(), EDIT.0));
    }
    fs::create_dir_all(directory.join("src")).map_err(at(&directory))?;
    write(&directory.join("src/lib.rs"), &text.replace(EDIT.0, EDIT.1))?;
    write(&directory.join("Cargo.toml"), &manifest())?;
    // The repository's own versions of all dependencies.
    let lock = root().join("Cargo.lock");
    write(&directory.join("Cargo.lock"), &fs::read_to_string(&lock).map_err(at(&lock))?)?;
    let target = directory.join("target");
    let mut command = cargo();
    command.args(["build", "--quiet", "--release", "--target", wasm_target::NAME, "--manifest-path"]);
    command.arg(directory.join("Cargo.toml")).arg("--target-dir").arg(&target);
    println!("building the next version of hello-plugin");
    run(&mut command)?;
    Ok(target.join(wasm_target::NAME).join("release/hello_plugin.wasm"))
}

fn manifest() -> String {
    let sdk = root().join("plugin-sdk");
    format!(
        "[package]\nname = \"hello-plugin\"\nversion = \"0.2.0\"\nedition = \"2024\"\npublish = false\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nplugin-sdk = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         [workspace]\n",
        sdk.display().to_string()
    )
}

/// Writes what is new only, so that cargo sees no change where there is none.
fn write(file: &Path, text: &str) -> Result {
    if fs::read_to_string(file).is_ok_and(|known| known == text) {
        return Ok(());
    }
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What a stream of requests over one protocol got.
#[derive(Clone, Debug, Default)]
struct Tally {
    old: usize,
    new: usize,
    /// What was neither, and how often.
    other: BTreeMap<String, usize>,
}

/// The scene.
pub(super) fn show(stage: &mut Stage, next: &Path) -> Result {
    stage.scene("A plugin is replaced in its directory while requests run");
    let before = artifact(stage)?;
    println!("   /plugins: hello-plugin {} {}", before.0, before.1);
    let request = with_key(stage.place.https("/orders"), SHOP_KEY);
    let tallies = Protocol::ALL.map(|_| Mutex::new(Tally::default()));
    let stop = AtomicBool::new(false);
    let clients = stage.clients.clone();
    let plugins = stage.place.file("plugins");
    let swapped = std::thread::scope(|scope| {
        for (protocol, tally) in Protocol::ALL.into_iter().zip(&tallies) {
            let (clients, request, stop) = (&clients, &request, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let got = match clients.send(protocol, request) {
                        Ok(response) => match (response.status, response.header("x-hello")) {
                            (200, Some(value)) if value == VALUE.0 => Ok(true),
                            (200, Some(value)) if value == VALUE.1 => Ok(false),
                            (status, value) => Err(format!("{status} with x-hello {value:?}")),
                        },
                        Err(error) => Err(error),
                    };
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match got {
                        Ok(true) => tally.old += 1,
                        Ok(false) => tally.new += 1,
                        Err(other) => *tally.other.entry(other).or_default() += 1,
                    }
                }
            });
        }
        let all = |enough: fn(&Tally) -> bool| {
            eventually(Duration::from_secs(60), || tallies.iter().all(|tally| enough(&snapshot(tally))).then_some(()))
        };
        let swapped = all(|tally| tally.old >= 3)
            .ok_or_else(|| "no requests came through before the swap".to_owned())
            .and_then(|()| install(next, &plugins))
            .map(|()| all(|tally| tally.new >= 3).is_some());
        stop.store(true, Ordering::Relaxed);
        swapped
    })?;
    println!("   dropped in: {}, as hello-plugin.wasm", next.display());
    for (protocol, tally) in Protocol::ALL.into_iter().zip(&tallies) {
        let Tally { old, new, other } = snapshot(tally);
        println!(
            "   {}: {old} responses with \"{}\", then {new} with \"{}\"; failed: {other:?}",
            protocol.name(),
            VALUE.0,
            VALUE.1
        );
        stage.expect(&format!("no request over {} failed", protocol.version()), other.is_empty())?;
    }
    stage.expect("the new version serves on all three protocols", swapped)?;
    let after = artifact(stage)?;
    println!("   /plugins: hello-plugin {} {}", after.0, after.1);
    stage.expect("the admin page shows another hash", !after.1.is_empty() && before.1 != after.1)
}

fn snapshot(tally: &Mutex<Tally>) -> Tally {
    tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A rename, which a watching gateway sees as one change.
fn install(next: &Path, plugins: &Path) -> Result {
    let part = plugins.join(".hello-plugin.wasm.part");
    fs::copy(next, &part)
        .and_then(|_| fs::rename(&part, plugins.join("hello-plugin.wasm")))
        .map_err(|error| format!("{}: {error}", plugins.display()))
}

/// Version and hash of hello-plugin, as the admin listener tells them.
fn artifact(stage: &Stage) -> Result<(String, String)> {
    let page = stage.clients.plain(&stage.place.admin("/plugins"))?;
    let page: Value = serde_json::from_str(&page.body).map_err(|error| format!("/plugins is no JSON: {error}"))?;
    let list = page.as_array().or_else(|| page["plugins"].as_array());
    let hello = list.and_then(|list| list.iter().find(|plugin| plugin["name"] == "hello-plugin"));
    let text = |key: &str| hello.and_then(|hello| hello[key].as_str()).unwrap_or_default().to_owned();
    Ok((text("version"), text("hash")))
}
