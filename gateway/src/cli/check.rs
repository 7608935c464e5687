//! `gateway check`: the configuration and every plugin that it uses, with all mistakes at once.

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::gateway;
use crate::model::{Log, LogFormat};
use crate::plugin;
use crate::telemetry::log::ErrorLog;

pub(super) fn run(config: &Path) -> ExitCode {
    // What a start would warn of (a certificate that has expired, a name that does not resolve) is worth knowing before.
    // Without the log, the check is as good as without the warnings.
    let _log = ErrorLog::start(&Log { level: tracing::Level::WARN, format: LogFormat::Text, plugin_messages: false });
    match gateway::check(config, plugin::this_program()) {
        Ok(gateway::Checked { warnings, vouched }) => {
            for warning in &warnings {
                eprintln!("warning: {warning}");
            }
            let vouched: String = vouched.iter().map(|line| format!("{line}\n")).collect();
            output::show(&format!("{vouched}{}: fine\n", config.display()))
        }
        Err(error) => output::refuse(config, &error),
    }
}
