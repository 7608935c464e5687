//! `gateway plugin install`: a file is checked, gets the plugin's name, and takes the place of the version before in one step.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tempfile::NamedTempFile;

use crate::cli::output::{self, DEFAULT_CONFIG};
use crate::{config, gateway, plugin, watch};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The wasm file, under whatever name; FILE.minisig is its signature.
    file: PathBuf,
    /// The configuration of the gateway that it is for: it names the directory, and the plugin has to work with it.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// The directory, without a look into a configuration.
    #[arg(short, long, value_name = "DIR", conflicts_with = "config")]
    directory: Option<PathBuf>,
}

/// How long a gateway is waited for that watches the directory.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often its word is looked for.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a signature, and of what a gateway says.
const MAX_SMALL: u64 = 1 << 20;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match install(arguments) {
        Ok(told) => output::show(&told),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A plugin on its way.
struct New {
    wasm: Vec<u8>,
    signature: Option<Vec<u8>>,
}

fn install(arguments: &Arguments) -> Result<String, String> {
    let file = &arguments.file;
    let unreadable = |file: &Path, error: io::Error| format!("{}: can't be read: {error}", file.display());
    let wasm = watch::read_regular(file, plugin::MAX_BYTES).map_err(|error| unreadable(file, error))?;
    let signed = plugin::signature_file(file);
    let signature = match watch::read_regular(&signed, MAX_SMALL) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&signed, error)),
    };
    let new = New { wasm, signature };

    let loaded = match &arguments.directory {
        Some(_) => None,
        None => Some(config::load(&arguments.config).map_err(|errors| {
            format!("{errors}\nname the configuration with -c FILE, or the directory of plugins with -d DIR")
        })?),
    };
    let directory = match (&loaded, &arguments.directory) {
        (Some(loaded), _) => loaded.config.plugins.directory.clone(),
        (None, directory) => directory.clone(),
    };
    let directory = directory.ok_or_else(|| format!("{}: names no plugins.directory", arguments.config.display()))?;
    if let Some(loaded) = &loaded {
        // Before the file is looked into, by this process or another.
        let plugins = &loaded.config.plugins;
        plugin::check_signature(plugins, file, &new.wasm).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let compiler = plugin::this_program();
    let found = plugin::inspect(&compiler, &new.wasm).map_err(|error| format!("{}: {error}", file.display()))?;
    // It becomes a file's name.
    config::name(&found.name).map_err(|why| format!("{}: its name {:?} {why}", file.display(), found.name))?;
    if let Some(loaded) = &loaded {
        plugin::check_pin(&loaded.config.plugins, &found.name, &found.hash)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let mut told = format!("{} {} (sha256 {})\n", found.name, found.version, found.hash);
    if let Some(loaded) = loaded {
        let routes = try_with(&arguments.config, loaded, &found.name, &new)?;
        told.push_str(&match routes {
            0 => format!("no route of {} names it; nothing was tried\n", arguments.config.display()),
            routes => format!("works with its entries in {routes} route{}\n", if routes == 1 { "" } else { "s" }),
        });
    }
    let target = directory.join(format!("{}.wasm", found.name));
    if fs::read(&target).is_ok_and(|before| before == new.wasm)
        && fs::read(plugin::signature_file(&target)).ok() == new.signature
    {
        told.push_str(&format!("{} is that already; nothing was changed\n", target.display()));
        return Ok(told);
    }
    let status = directory.join(format!("{}.status.json", found.name));
    let before = said(&status);
    told.push_str(&swap(&target, &new).map_err(|error| format!("{}: {error}", target.display()))?);
    told.push_str(&wait(&status, before.as_ref(), &found.hash)?);
    Ok(told)
}

/// Tries it with the entries that name it; how many routes have one.
fn try_with(file: &Path, loaded: config::Loaded, name: &str, new: &New) -> Result<usize, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let copy = directory.path().join(format!("{name}.wasm"));
    let written = fs::write(&copy, &new.wasm).and_then(|()| match &new.signature {
        Some(signature) => fs::write(plugin::signature_file(&copy), signature),
        None => Ok(()),
    });
    written.map_err(|error| format!("{}: {error}", copy.display()))?;
    gateway::try_plugin(loaded.config, directory.path(), plugin::this_program(), name).map_err(|problems| {
        let lines: String = problems.iter().map(|problem| format!("{}:{problem}\n", file.display())).collect();
        format!("{lines}nothing was changed")
    })
}

/// Puts it in place: its signature first, so that whoever watches sees a pair that does not fit for a moment at most, and
/// never a new file with nothing that vouches for it.
fn swap(target: &Path, new: &New) -> io::Result<String> {
    let signature_file = plugin::signature_file(target);
    let directory = target.parent().unwrap_or(Path::new("."));
    let (is_new, old_signature) = (!target.exists(), fs::read(&signature_file).ok());
    // That of a first plugin. Not those above it, which may be missing because a disk is.
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let wasm = part(directory, &new.wasm)?;
    let signature = new.signature.as_ref().map(|text| part(directory, text)).transpose()?;
    let signed = signature.is_some();
    if let Some(signature) = signature {
        signature.persist(&signature_file).map_err(|error| error.error)?;
    }
    if let Err(error) = wasm.persist(target) {
        // As it was. There is nobody left to tell of a second failure.
        let _ = match old_signature {
            Some(old) => part(directory, &old).and_then(|part| {
                part.persist(&signature_file)?;
                Ok(())
            }),
            None => fs::remove_file(&signature_file),
        };
        return Err(error.error);
    }
    let mut told = format!("{} {}\n", target.display(), if is_new { "is there now" } else { "was replaced" });
    if signed {
        told.push_str(&format!("{} is its signature\n", signature_file.display()));
    } else if old_signature.is_some() {
        fs::remove_file(&signature_file)?;
        told.push_str(&format!("{} was the old file's signature and was removed\n", signature_file.display()));
    }
    Ok(told)
}

/// A whole file under another name in the same directory.
fn part(directory: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut part = tempfile::Builder::new().prefix(".install-").tempfile_in(directory)?;
    part.write_all(bytes)?;
    part.as_file().set_permissions(Permissions::from_mode(0o644))?;
    part.as_file().sync_all()?;
    Ok(part)
}

/// What a gateway says of the file, if one does.
fn said(status: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&watch::read_regular(status, MAX_SMALL).ok()?).ok()
}

/// Waits for what a gateway makes of it that serves the version before.
fn wait(status: &Path, before: Option<&serde_json::Value>, hash: &str) -> Result<String, String> {
    let Some(before) = before else {
        return Ok("no gateway has said anything of it yet (NAME.status.json)\n".to_owned());
    };
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let Some(now) = said(status) else { break };
        let pid = &now["pid"];
        if now["hash"] == hash && now["state"] == "serving" {
            return Ok(format!("the gateway with the process id {pid} serves it\n"));
        }
        if let (Some(error), true) = (now["error"].as_str(), now != *before) {
            return Err(format!(
                "the gateway with the process id {pid} does not use it, what served before serves on: {error}"
            ));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(format!("no gateway has said anything of it for {PATIENCE:?}; it may be gone, or still compiling\n"))
}
