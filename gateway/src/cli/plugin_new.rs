//! `gateway plugin new`: a plugin crate that builds and whose tests pass, for someone who has nothing but the binary.
//!
//! The SDK is on no registry, so the binary carries its sources and writes them beside the new crate.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output;

/// Files of the SDK by their path in it.
macro_rules! sdk {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../plugin-sdk/", $path)))),*]
    };
}

/// The SDK with the rules that its test host goes by, except for their manifests: those inherit from the workspace.
const SDK: &[(&str, &str)] = sdk! {
    "cases/src/coded.rs"
    "cases/src/format.rs"
    "cases/src/lib.rs"
    "cases/src/seen.rs"
    "cases/src/yaml.rs"
    "macros/src/lib.rs"
    "rules/src/audit.rs"
    "rules/src/audit/notes.rs"
    "rules/src/body.rs"
    "rules/src/calls.rs"
    "rules/src/class.rs"
    "rules/src/codings/accept.rs"
    "rules/src/codings/aws.rs"
    "rules/src/codings/br.rs"
    "rules/src/codings/content.rs"
    "rules/src/codings/decoder.rs"
    "rules/src/codings/encoder.rs"
    "rules/src/codings/inflate.rs"
    "rules/src/codings/mod.rs"
    "rules/src/codings/tests.rs"
    "rules/src/codings/zstandard.rs"
    "rules/src/failure.rs"
    "rules/src/fields.rs"
    "rules/src/gcra.rs"
    "rules/src/key.rs"
    "rules/src/kv.rs"
    "rules/src/limits.rs"
    "rules/src/lib.rs"
    "rules/src/metrics.rs"
    "rules/src/notes.rs"
    "rules/src/phase.rs"
    "rules/src/response.rs"
    "rules/src/stored.rs"
    "rules/src/target.rs"
    "rules/src/trace.rs"
    "rules/src/trace/notes.rs"
    "rules/src/window.rs"
    "src/action.rs"
    "src/audit.rs"
    "src/calls.rs"
    "src/config.rs"
    "src/config/input.rs"
    "src/config/words.rs"
    "src/counters.rs"
    "src/crypto.rs"
    "src/duration.rs"
    "src/encoding.rs"
    "src/exchange.rs"
    "src/export.rs"
    "src/fields.rs"
    "src/form.rs"
    "src/http_types.rs"
    "src/kv.rs"
    "src/lines.rs"
    "src/lib.rs"
    "src/log.rs"
    "src/metrics.rs"
    "src/plugin.rs"
    "src/random.rs"
    "src/raw/guest.rs"
    "src/raw/mod.rs"
    "src/raw/native.rs"
    "src/secrets.rs"
    "src/stream.rs"
    "src/testing/cases.rs"
    "src/testing/convert.rs"
    "src/testing/crypto.rs"
    "src/testing/data.rs"
    "src/testing/limits.rs"
    "src/testing/message.rs"
    "src/testing/mod.rs"
    "src/testing/notes.rs"
    "src/testing/run.rs"
    "src/testing/run/answers.rs"
    "src/testing/run/arrival.rs"
    "src/testing/run/bodies.rs"
    "src/testing/run/codings.rs"
    "src/testing/run/request.rs"
    "src/testing/run/response.rs"
    "src/testing/state.rs"
    "src/testing/stored.rs"
    "src/time.rs"
    "src/trace.rs"
    "README.md"
    "wit/plugin.wit"
};

/// The files of the new crate, with `{{…}}` to be filled in.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("plugin_new/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("plugin_new/cargo-config.toml.in")),
    (".gitignore", include_str!("plugin_new/gitignore.in")),
    ("README.md", include_str!("plugin_new/README.md.in")),
    ("cases.yaml", include_str!("plugin_new/cases.yaml.in")),
    ("src/lib.rs", include_str!("plugin_new/lib.rs.in")),
    ("vendor/plugin-sdk/Cargo.toml", include_str!("plugin_new/sdk-Cargo.toml.in")),
    ("vendor/plugin-sdk/cases/Cargo.toml", include_str!("plugin_new/cases-Cargo.toml.in")),
    ("vendor/plugin-sdk/macros/Cargo.toml", include_str!("plugin_new/macros-Cargo.toml.in")),
    ("vendor/plugin-sdk/rules/Cargo.toml", include_str!("plugin_new/rules-Cargo.toml.in")),
];

/// What no crate here can be called: keywords of Rust, and the crates that it would hide.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "plugin",
    "plugin-cases",
    "plugin-rules",
    "plugin-sdk",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

pub(super) fn run(name: &str, directory: &Path) -> ExitCode {
    if let Err(reason) = check_name(name) {
        eprintln!("\"{name}\" {reason}");
        return ExitCode::FAILURE;
    }
    // What is shown is to be copied: `greeter` reads better than `./greeter`.
    let target = if directory == Path::new(".") { PathBuf::from(name) } else { directory.join(name) };
    match write(name, &target) {
        Ok(()) => {
            let (shown, file) = (target.display(), file_name(name));
            output::show(&format!(
                "{shown} is a plugin that adds a header to every response. Next:\n\n  \
                 cd {shown}\n  \
                 cargo test\n  \
                 rustup target add wasm32-unknown-unknown    # once\n  \
                 gateway plugin build\n  \
                 gateway plugin test target/wasm32-unknown-unknown/release/{file}.wasm cases.yaml\n\n\
                 README.md tells how it gets into a gateway, src/lib.rs where to go on.\n"
            ))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            eprintln!("{} is already there; choose another name, or another --directory", target.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{} can't be made: {error}", target.display());
            ExitCode::FAILURE
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= 64;
    if !valid {
        return Err("is no name for a plugin; use up to 64 lower-case letters, digits and single \"-\", beginning \
                    with a letter and not ending with \"-\""
            .to_owned());
    }
    if TAKEN.contains(&name) {
        return Err("can't be the name of a crate with a plugin in it; choose another".to_owned());
    }
    Ok(())
}

/// The plugin's type: `add-header` is an `AddHeaderPlugin`, so that no name hides one of the SDK's.
fn type_name(name: &str) -> String {
    let mut text = String::new();
    for word in name.split('-') {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    if !text.ends_with("Plugin") {
        text.push_str("Plugin");
    }
    text
}

/// The file that cargo builds, without its ending.
fn file_name(name: &str) -> String {
    name.replace('-', "_")
}

/// Writes the crate; an error leaves no half of it behind.
fn write(name: &str, target: &Path) -> Result<(), Error> {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A parent that is a file is another mistake than a target that is there.
    std::fs::create_dir_all(parent).map_err(|error| Error::other(format!("{}: {error}", parent.display())))?;
    std::fs::create_dir(target)?;
    let filled = fill(name, target);
    if filled.is_err() {
        // The directory was made above: all that is in it is this function's.
        let _ = std::fs::remove_dir_all(target);
    }
    filled
}

fn fill(name: &str, target: &Path) -> Result<(), Error> {
    let (type_name, file) = (type_name(name), file_name(name));
    for (path, template) in TEMPLATES {
        let text = template
            .replace("{{name}}", name)
            .replace("{{type}}", &type_name)
            .replace("{{file}}", &file)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"));
        put(&target.join(path), &text)?;
    }
    let sdk = target.join("vendor/plugin-sdk");
    SDK.iter().try_for_each(|(path, text)| put(&sdk.join(path), text))
}

fn put(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn files(directory: &Path, prefix: &str, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable")) {
            let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
            match entry.path().is_dir() {
                true => files(&entry.path(), &path, into),
                false => into.push(path),
            }
        }
    }

    #[test]
    fn every_file_of_the_sdk_is_carried() {
        let sdk = repository().join("plugin-sdk");
        let mut expected = vec!["README.md".to_owned()];
        for folder in ["cases/src", "macros/src", "rules/src", "src", "wit"] {
            files(&sdk.join(folder), folder, &mut expected);
        }
        expected.sort();
        let mut carried: Vec<_> = SDK.iter().map(|(path, _)| (*path).to_owned()).collect();
        carried.sort();
        assert_eq!(carried, expected);
    }

    /// Lines of a manifest's dependencies.
    fn dependencies(manifest: &str) -> Vec<&str> {
        let (_, from) = manifest.split_once("[dependencies]").expect("dependencies");
        let from = from.split("[dev-dependencies]").next().unwrap_or(from);
        from.lines().filter(|line| line.starts_with(char::is_alphabetic)).collect()
    }

    /// The features, up to the dependencies.
    fn features(manifest: &str) -> Option<&str> {
        manifest.split_once("[features]")?.1.split("[dependencies]").next()
    }

    #[test]
    fn the_sdk_gets_the_dependencies_and_features_of_the_workspace() {
        let workspace = std::fs::read_to_string(repository().join("Cargo.toml")).expect("readable");
        for (own, template) in [
            ("plugin-sdk/Cargo.toml", include_str!("plugin_new/sdk-Cargo.toml.in")),
            ("plugin-sdk/cases/Cargo.toml", include_str!("plugin_new/cases-Cargo.toml.in")),
            ("plugin-sdk/macros/Cargo.toml", include_str!("plugin_new/macros-Cargo.toml.in")),
            ("plugin-sdk/rules/Cargo.toml", include_str!("plugin_new/rules-Cargo.toml.in")),
        ] {
            let carried = dependencies(template);
            for line in carried.iter().filter(|line| !line.contains("path = ")) {
                // One that a feature asks for says so in the crate's own manifest.
                let optional = line.strip_suffix(", optional = true }").map(|line| line.replace("{ version = ", ""));
                let line = optional.as_deref().unwrap_or(line);
                assert!(workspace.contains(&format!("\n{line}\n")), "{line} is not in the workspace's Cargo.toml");
            }
            let own = std::fs::read_to_string(repository().join(own)).expect("readable");
            assert_eq!(features(template), features(&own));
            let own = dependencies(&own).into_iter().filter(|line| line.contains("workspace = true"));
            let mut names: Vec<_> = own.filter_map(|line| line.split(['.', ' ']).next()).collect();
            let mut carried: Vec<_> = carried.iter().filter_map(|line| line.split(' ').next()).collect();
            names.sort_unstable();
            carried.sort_unstable();
            assert_eq!(carried, names);
        }
    }

    /// A limit that is summed up would be passed by a sum that wraps round.
    #[test]
    fn sums_do_not_wrap_round_in_plugins_neither_in_new_ones_nor_in_those_of_the_repository() {
        const CHECKED: &str = "overflow-checks = true\n";
        let template = include_str!("plugin_new/Cargo.toml.in");
        assert!(template.split("[profile.release]").nth(1).is_some_and(|profile| profile.contains(CHECKED)));
        let workspace = std::fs::read_to_string(repository().join("Cargo.toml")).expect("readable");
        for folder in std::fs::read_dir(repository().join("plugins")).expect("readable").flatten() {
            let name = folder.file_name().to_string_lossy().into_owned();
            let profile = format!("[profile.release.package.{name}]\n{CHECKED}");
            assert!(workspace.contains(&profile), "Cargo.toml lacks:\n{profile}");
        }
    }

    #[test]
    fn names_are_crates_and_types() {
        for name in ["a", "add-header", "oauth2", "x-9"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "-a", "9a", "Add", "a_b", "a-", "a--b", "a/b", "..", "æ", "fn", "plugin-sdk", "serde", &long]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(type_name("add-header"), "AddHeaderPlugin");
        assert_eq!(type_name("x-9-plugin"), "X9Plugin");
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join("in/add-header");
        write("add-header", &target).expect("written");
        let mut written = Vec::new();
        files(&target, "", &mut written);
        assert_eq!(written.len(), TEMPLATES.len() + SDK.len());
        for path in TEMPLATES.iter().map(|(path, _)| target.join(path)) {
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(!text.contains("{{"), "{}", path.display());
        }
        let before = std::fs::read_to_string(target.join("Cargo.toml")).expect("readable");
        assert!(before.contains("name = \"add-header\""));
        assert_eq!(write("add-header", &target).expect_err("it is there").kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(target.join("Cargo.toml")).expect("readable"), before);
    }
}
