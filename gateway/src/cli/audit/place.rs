//! Where the audit trail lies, and who its subjects are: named on the command line, or in the gateway's configuration.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use ::audit::layout;
use ::audit::subjects::{Caller, PseudonymKeys};
use ::audit::words::Name;
use clap::Args;

use crate::cli::output::DEFAULT_CONFIG;
use crate::config;
use crate::model::{Audit, Secret};

/// What could not be done, in words.
pub(super) struct Failed(pub(super) String);

/// Where the ledger lies.
#[derive(Args)]
pub(super) struct Place {
    /// The ledger's directory; by default the configuration's audit.directory.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The configuration file, for the directory and for the keys that subjects are found by.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
}

impl Place {
    /// The directory. The configuration is read only where it isn't named.
    pub(super) fn directory(&self) -> Result<PathBuf, Failed> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => self.settings()?.directory,
        };
        // A directory that is not there would verify as well as an empty one.
        if !directory.is_dir() {
            return Err(Failed(format!("{}: there is no such directory", directory.display())));
        }
        Ok(directory)
    }

    /// The configuration's section, for a directory that is named or its own.
    pub(super) fn settings(&self) -> Result<Audit, Failed> {
        let file = &self.config;
        let loaded =
            config::load(file).map_err(|errors| Failed(format!("{errors}\nname the configuration: -c FILE")))?;
        let missing = || Failed(format!("{}: there is no section \"audit\"", file.display()));
        let mut settings = loaded.config.audit.ok_or_else(missing)?;
        if let Some(directory) = &self.directory {
            settings.directory.clone_from(directory);
        }
        Ok(settings)
    }
}

/// The subject of this name, as records are looked up by.
pub(super) fn caller(settings: &Audit, subject: &str) -> Result<Caller, Failed> {
    let keys: Vec<&[u8]> = settings.pseudonym_keys.iter().map(Secret::expose).collect();
    let keys = PseudonymKeys::new(&keys).map_err(|error| Failed(error.to_string()))?;
    Ok(keys.caller(subject.as_bytes()))
}

/// The gateways that write, or wrote, below a directory.
pub(super) fn gateways(directory: &Path) -> Result<BTreeSet<Name>, Failed> {
    let chains = layout::chains(directory).map_err(unreadable(directory))?;
    Ok(chains.into_iter().map(|chain| chain.gateway).collect())
}

/// What is said of a directory that can't be read.
pub(super) fn unreadable(directory: &Path) -> impl FnOnce(io::Error) -> Failed {
    let directory = directory.display().to_string();
    move |error| Failed(format!("{directory}: can't be read: {error}"))
}

/// The end of a sentence that begins with what was written.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
