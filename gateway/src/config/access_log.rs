//! The `access_log` section.

use http::HeaderName;

use super::error::suggest;
use super::fields::Fields;
use super::names;
use super::types::{Choice, List, Parsed, Text};
use crate::model::{AccessLog, LogTarget};

/// What `access_log.include` turns on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Included {
    ClientAddress,
    Path,
    RequestHeader(HeaderName),
}

/// The `access_log` section as an object.
pub(super) fn access_log(fields: &mut Fields<'_, '_>) -> Option<AccessLog> {
    let path = fields.default("path", "stdout, off, or a file to append to (reopened on SIGHUP).", Text, "stdout");
    let format = fields.default("format", "json: one object per line.", Choice(&[("json", ())]), "json");
    let include = fields.default(
        "include",
        "Personal data to log, which is left out otherwise: client.address (whole, not cut to /24 or /48), path (not \
         masked, with its query), request_headers.NAME.",
        List(Parsed { parse: included, schema: included_schema, hint: |_| None }),
        "[]",
    );
    let (path, (), include) = (path?, format?, include?);
    let target = match path.as_str() {
        "stdout" => LogTarget::Stdout,
        "off" => LogTarget::Off,
        path => LogTarget::File(fields.context()?.directory.join(path)),
    };
    Some(log(target, &include))
}

fn log(target: LogTarget, include: &[Included]) -> AccessLog {
    let name = |included: &Included| match included {
        Included::RequestHeader(name) => Some(name.clone()),
        Included::ClientAddress | Included::Path => None,
    };
    AccessLog {
        target,
        full_address: include.contains(&Included::ClientAddress),
        full_path: include.contains(&Included::Path),
        request_headers: include.iter().filter_map(name).collect(),
    }
}

/// The word in the section's place that turns it off.
pub(super) const OFF: Parsed<AccessLog> = Parsed {
    hint: |_| None,
    parse: |text| match text {
        "off" => Ok(log(LogTarget::Off, &[])),
        _ => Err("is not an access log; write an object such as {path: stdout}, or off".to_owned()),
    },
    schema: || serde_json::json!({"const": "off"}),
};

const INCLUDE: [&str; 3] = ["client.address", "path", "request_headers.NAME"];

fn included(text: &str) -> Result<Included, String> {
    if let Some(name) = text.strip_prefix("request_headers.") {
        return names::header_name(name).map(Included::RequestHeader);
    }
    match text {
        "client.address" => Ok(Included::ClientAddress),
        "path" => Ok(Included::Path),
        _ => Err(format!("is nothing that can be logged; {}", suggest(text, INCLUDE))),
    }
}

fn included_schema() -> serde_json::Value {
    serde_json::json!({"type": "string", "pattern": "^(client\\.address|path|request_headers\\..+)$"})
}
