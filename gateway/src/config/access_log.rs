//! The `access_log` section.

use http::HeaderName;

use super::context::{Context, Type};
use super::error::suggest;
use super::fields::Fields;
use super::names;
use super::tree::Node;
use super::types::{Choice, FilePath, List, Parsed, Text};
use crate::model::{AccessLog, Disclosure, LogTarget};

/// What `access_log.include` turns on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Included {
    ClientAddress,
    Path,
    RequestHeader(HeaderName),
}

/// The `access_log` section as an object.
pub(super) fn access_log(fields: &mut Fields<'_, '_>) -> Option<AccessLog> {
    let path = fields.default("path", "stdout, off, or a file to append to (reopened on SIGHUP).", LogPath, "stdout");
    let format = fields.default("format", "json: one object per line.", Choice(&[("json", ())]), "json");
    let include = fields.default(
        "include",
        "Personal data to log, which is left out otherwise: client.address (whole, not cut to /24 or /48), path (not \
         masked, with its query), request_headers.NAME.",
        List(Parsed { parse: included, schema: included_schema, hint: |_| None }),
        "[]",
    );
    let (target, (), include) = (path?, format?, include?);
    Some(log(target, &include))
}

/// Where the access log goes.
struct LogPath;

impl Type for LogPath {
    type Value = LogTarget;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<LogTarget> {
        match Text.parse(node, context)?.as_str() {
            "stdout" => Some(LogTarget::Stdout),
            "off" => Some(LogTarget::Off),
            _ => {
                let path = FilePath.parse(node, context)?;
                // The file is made where there is none; its directory is not.
                if path.parent().is_some_and(|directory| !directory.is_dir()) {
                    let tried = if node.may_be_shown() { format!(" ({})", path.display()) } else { String::new() };
                    let message = format!(
                        "the access log {} can't be opened{tried}: its directory does not exist",
                        node.describe()
                    );
                    context.error(node.position, message);
                    return None;
                }
                Some(LogTarget::File(path))
            }
        }
    }

    fn schema(&self) -> serde_json::Value {
        Text.schema()
    }
}

fn log(target: LogTarget, include: &[Included]) -> AccessLog {
    AccessLog { target, include: disclosure(include) }
}

/// What `include` turns on.
pub(super) fn disclosure(include: &[Included]) -> Disclosure {
    let name = |included: &Included| match included {
        Included::RequestHeader(name) => Some(name.clone()),
        Included::ClientAddress | Included::Path => None,
    };
    Disclosure {
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

pub(super) fn included(text: &str) -> Result<Included, String> {
    if let Some(name) = text.strip_prefix("request_headers.") {
        return names::header_name(name).map(Included::RequestHeader);
    }
    match text {
        "client.address" => Ok(Included::ClientAddress),
        "path" => Ok(Included::Path),
        _ => Err(format!("is nothing that can be logged; {}", suggest(text, INCLUDE))),
    }
}

pub(super) fn included_schema() -> serde_json::Value {
    serde_json::json!({"type": "string", "pattern": "^(client\\.address|path|request_headers\\..+)$"})
}
