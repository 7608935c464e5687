//! `gateway plugin bench`: what each phase of a plugin costs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use plugin_cases::{Case, Message, Step};

use crate::cli::output;
use crate::{plugin, watch};

#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// The wasm file. It is compiled and run in this process, with no other limits than a plugin's own: bench what you built.
    file: PathBuf,
    /// Cases, whose configs and exchanges are measured: every step of every case that has no upstream's failure in it. Without,
    /// one GET with the config {}.
    cases: Option<PathBuf>,
    /// Only cases whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How long to measure each exchange, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    time: u64,
}

/// Bytes of a file of cases.
const MAX_CASES: u64 = 16 << 20;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match bench(arguments) {
        Ok(told) => output::show(&told),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<String, String> {
    let wrong = |file: &PathBuf, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let wasm = watch::read_regular(&arguments.file, plugin::MAX_BYTES);
    let wasm = wasm.map_err(|error| wrong(&arguments.file, &format!("can't be read: {error}")))?;
    let text = match &arguments.cases {
        Some(file) => watch::read_regular(file, MAX_CASES)
            .map_err(|error| error.to_string())
            .and_then(|text| String::from_utf8(text).map_err(|error| error.to_string()))
            .map_err(|error| wrong(file, &error))?,
        None => "- name: GET /\n  steps: [{}]\n".to_owned(),
    };
    let cases = plugin_cases::parse(&text).map_err(|error| format!("cases: {error}"))?;
    let mut told = format!("{:<46} {:>10} {:>10} {:>13}\n", "", "median", "p99", "instructions");
    let named = |case: &&Case| arguments.only.as_ref().is_none_or(|only| case.name.contains(only));
    let measured = |case: &&Case| case.refused.is_none() && case.steps.iter().all(|step| !step.expect.ends);
    for case in cases.iter().filter(named).filter(measured) {
        for (index, step) in case.steps.iter().enumerate().filter(|(_, step)| step.fails.is_none()) {
            told.push_str(&format!("{}, step {}\n", case.name, index + 1));
            let (config, time) = (case.config.to_string(), Duration::from_millis(arguments.time));
            let costs = plugin::measure(&wasm, &config, &sample(step)?, time)
                .map_err(|error| format!("{}: {}: {error}", arguments.file.display(), case.name))?;
            for cost in costs {
                let micros = |time: Duration| format!("{:.2} µs", time.as_secs_f64() * 1e6);
                let (phase, count) = (cost.phase.to_string(), cost.instructions);
                told.push_str(&format!(
                    "  {phase:<44} {:>10} {:>10} {count:>13}\n",
                    micros(cost.median),
                    micros(cost.p99)
                ));
            }
        }
    }
    Ok(told)
}

/// The exchange of a step.
fn sample(step: &Step) -> Result<plugin::Sample, String> {
    let (request, response) = (step.request.message(), step.upstream.message());
    let client = step.request.client.as_deref().unwrap_or("192.0.2.1");
    let no = |what: &str, text: &str| format!("{text:?} is no {what}");
    Ok(plugin::Sample {
        method: Method::from_bytes(step.request.method.as_bytes()).map_err(|_| no("method", &step.request.method))?,
        target: step.request.target.parse().map_err(|_| no("target", &step.request.target))?,
        request_headers: fields(&request)?,
        request_body: request.chunks.concat().into_bytes(),
        client: client.parse().map_err(|_| no("address", client))?,
        status: StatusCode::from_u16(step.upstream.status()).map_err(|error| error.to_string())?,
        response_headers: fields(&response)?,
        response_body: response.chunks.concat().into_bytes(),
    })
}

fn fields(of: &Message) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let field = |(name, value): &(String, String)| {
        let wrong = || format!("{name:?}: {value:?} is no field");
        Ok((name.parse().map_err(|_| wrong())?, value.parse().map_err(|_| wrong())?))
    };
    of.headers.iter().map(field).collect()
}
