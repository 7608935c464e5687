//! `gateway plugin test`: a built plugin runs through the cases of a file in a gateway of this process, on loopback. The same
//! file runs natively with `plugin_sdk::testing::run_cases`.

mod client;
mod origin;
mod place;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use plugin_cases::{Case, Fails, Host, Seen, Step};

use self::client::Client;
use self::origin::Origin;
use self::place::Place;
use crate::cli::output;
use crate::gateway::Gateway;
use crate::model::Hidden;
use crate::{plugin, watch};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The wasm file.
    file: PathBuf,
    /// The cases, in YAML or JSON.
    cases: PathBuf,
    /// Only cases whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only what plugins could do that were built for this version of the contract's cases.
    #[arg(long, value_name = "VERSION", default_value_t = u32::MAX, hide_default_value = true)]
    since: u32,
}

/// Bytes of a file of cases.
const MAX_CASES: u64 = 16 << 20;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match test(arguments) {
        Ok((told, true)) => output::show(&told),
        Ok((told, false)) => {
            output::show(&told);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A line per case, and whether all went well.
fn test(arguments: &Arguments) -> Result<(String, bool), String> {
    let read = |file: &Path, most| {
        watch::read_regular(file, most).map_err(|error| format!("{}: can't be read: {error}", file.display()))
    };
    let (wasm, text) = (read(&arguments.file, plugin::MAX_BYTES)?, read(&arguments.cases, MAX_CASES)?);
    let wrong = |error: String| format!("{}: {error}", arguments.cases.display());
    let text = String::from_utf8(text).map_err(|_| wrong("is no text".to_owned()))?;
    let cases = plugin_cases::parse(&text).map_err(wrong)?;
    let found = plugin::inspect(&plugin::this_program(), &wasm)
        .map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let bench = Bench::new(&found.name, wasm)?;
    let (mut told, mut failed, mut passed) = (String::new(), 0, 0);
    let named = |case: &&Case| arguments.only.as_ref().is_none_or(|only| case.name.contains(only));
    for case in cases.iter().filter(named).filter(|case| case.since <= arguments.since) {
        let why = match case.only {
            Some(Host::Native) => Some("only natively"),
            _ if case.steps.iter().any(|step| !step.request.attributes.is_empty()) => {
                Some("nobody sets attributes here")
            }
            _ => None,
        };
        if let Some(why) = why {
            told.push_str(&format!("skip  {} ({why})\n", case.name));
            continue;
        }
        let differences = bench.run(case)?;
        *if differences.is_empty() { &mut passed } else { &mut failed } += 1;
        told.push_str(&format!("{}  {}\n", if differences.is_empty() { "ok  " } else { "FAIL" }, case.name));
        differences.iter().for_each(|difference| told.push_str(&format!("      {difference}\n")));
    }
    told.push_str(&format!("{passed} passed, {failed} failed\n"));
    Ok((told, failed == 0))
}

/// What all cases share: the file, what it was compiled to, and the upstreams.
struct Bench {
    place: Place,
    origin: Origin,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(plugin: &str, wasm: Vec<u8>) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("no place to run cases in: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        Ok(Self {
            place: Place::new(plugin, &wasm).map_err(failed)?,
            origin: Origin::start().map_err(failed)?,
            runtime,
        })
    }

    /// Where a case is not what was expected.
    fn run(&self, case: &Case) -> Result<Vec<String>, String> {
        let config = self.place.prepare(case, &self.origin).map_err(|error| format!("{}: {error}", case.name))?;
        if let Some(pointers) = &case.refused {
            return self.place.refused(&config, pointers);
        }
        let gateway = match Gateway::start(&config, plugin::this_program()) {
            Ok(gateway) => gateway,
            Err(error) => return Ok(vec![error.to_string()]),
        };
        self.origin.answer_calls(&case.upstreams);
        let address = gateway.listeners()[0].1;
        // No record has a secret, whatever a case says of it.
        let mut hidden = Hidden::default();
        case.secrets.values().for_each(|secret| hidden.add_secret(secret.as_bytes()));
        let mut differences = Vec::new();
        for (index, step) in case.steps.iter().enumerate() {
            let seen = self.runtime.block_on(self.exchange(address, step, index))?;
            let told = |difference| format!("step {}: {difference}", index + 1);
            let mut step = step.clone();
            for value in step.expect.log.values_mut().flatten() {
                *value = hidden.redact(value).into_owned();
            }
            differences.extend(seen.differences(&step).into_iter().map(told));
        }
        Ok(differences)
    }

    async fn exchange(&self, address: std::net::SocketAddr, step: &Step, index: usize) -> Result<Seen, String> {
        self.origin.script(&step.upstream, step.fails);
        let host = if step.fails == Some(Fails::Connect) { place::DEAD } else { place::HOST };
        let response = Client::send(address, host, &step.request).await?;
        let forwarded = self.origin.forwarded();
        let mut seen = Seen { response, forwarded, ..Seen::default() };
        // The record comes with the next batch; what does not ask for it does not wait.
        if !step.expect.log.is_empty() || step.expect.ends || seen.response.status == 503 {
            let record = self.place.record(index).await?;
            seen.ended = record["error"] == "plugin";
            let fields = record["fields"].as_object().into_iter().flatten();
            let fields = fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            seen.log = fields.collect();
        }
        Ok(seen)
    }
}
