//! `gateway audit erase`: a subject's key is deleted, and that it was is recorded. Where a gateway writes the ledger it is asked
//! to, and where none does it is done here.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::audit::keys::SigningKey;
use ::audit::layout;
use ::audit::ledger::{Ledger, OpenError, Settings};
use ::audit::storage::Disk;
use ::audit::subjects::{Caller, erase, store};
use ::audit::words::Name;
use clap::Args;

use super::place::{self, Failed, Place, unreadable};
use crate::cli::output;
use crate::model::Audit;

/// How long a gateway that runs may take. It looks every second.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Whose key: a principal, as the auth plugin names it.
    #[arg(long, value_name = "ID")]
    subject: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failed> {
    let directory = arguments.place.directory()?;
    let settings = arguments.place.settings()?;
    let caller = place::caller(&settings, &arguments.subject)?;
    let mut erased = 0;
    for gateway in place::gateways(&directory)? {
        let keys = layout::keys(&directory, &gateway);
        if store::find(&keys, &caller).map_err(unreadable(&keys))?.is_none() {
            continue;
        }
        erase_at(&directory, &gateway, &settings, &caller)?;
        erased += 1;
    }
    if erased == 0 {
        eprintln!("there is no such subject");
        return Ok(ExitCode::FAILURE);
    }
    Ok(output::show("erased: nobody can tell any more which records are theirs\n"))
}

/// Erases a subject of one gateway's ledger.
fn erase_at(directory: &Path, gateway: &Name, settings: &Audit, caller: &Caller) -> Result<(), Failed> {
    let failed = |error: &dyn std::fmt::Display| Failed(format!("{gateway}: {error}"));
    // Of another gateway's chain the key is not here; what is recorded there is signed by its next head.
    let signing_key = settings.signing_key.as_ref().filter(|_| *gateway == settings.gateway);
    let signing_key = signing_key.map(|key| SigningKey::new(gateway, key.expose())).transpose();
    let opened = Ledger::open(
        Settings {
            signing_key: signing_key.map_err(|error| failed(&error))?,
            ..Settings::new(directory.to_owned(), gateway.clone())
        },
        Arc::new(Disk),
    );
    match opened {
        Ok((ledger, _)) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let erased = runtime.map_err(|error| failed(&error))?.block_on(ledger.erase(caller.clone()));
            ledger.close();
            erased.map(drop).map_err(|error| failed(&error))
        }
        Err(OpenError::InUse) => {
            let request = erase::request(directory, gateway, caller, &Disk).map_err(|error| failed(&error))?;
            let deadline = Instant::now() + PATIENCE;
            while !erase::is_done(&request) {
                if Instant::now() >= deadline {
                    return Err(failed(&"the gateway that writes has not erased it yet; it goes on trying"));
                }
                std::thread::sleep(POLL);
            }
            Ok(())
        }
        Err(error) => Err(failed(&error)),
    }
}
