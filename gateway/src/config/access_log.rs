//! The `access_log` section: one log, a list of them, or `off`.

mod format;
mod selection;
mod syslog;

use http::HeaderName;
use serde_json::{Value, json};

use self::format::Format;
pub(super) use self::selection::{ROUTE_OFF, route_log};
use super::context::{Context, Type, parse};
use super::error::suggest;
use super::fields::{Fields, Object};
use super::names;
use super::tree::{Kind, Node};
use super::types::{FilePath, List, Parsed, Text};
use crate::model::{AccessLog, Disclosure, LogSelection, LogTarget};

/// The whole section.
pub(super) struct AccessLogs;

/// A log, or `None` where it goes nowhere.
const LOG: Object<Option<AccessLog>> = Object(access_log);

impl Type for AccessLogs {
    type Value = Vec<AccessLog>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Vec<AccessLog>> {
        match &node.kind {
            Kind::Map(_) => Some(LOG.parse(node, context)?.into_iter().collect()),
            Kind::List(items) if items.is_empty() => {
                context.error(node.position, "the list is empty; write off for no access log");
                None
            }
            Kind::List(items) => {
                let mut logs: Vec<AccessLog> = Vec::with_capacity(items.len());
                let mut valid = true;
                for item in items {
                    let Some(log) = parse(&LOG, item, context) else {
                        valid = false;
                        continue;
                    };
                    if let Some(log) = log {
                        // Two writers would cut each other's lines where one is stopped in the middle by a full disk.
                        if logs.iter().any(|other| other.target == log.target) {
                            let message = "another access log goes to the same place; give it another, or make one of both \
                                           (\"when\" takes a list)";
                            context.error(item.position, message);
                            valid = false;
                        }
                        logs.push(log);
                    }
                }
                valid.then_some(logs)
            }
            _ => OFF.parse(node, context),
        }
    }

    fn schema(&self) -> Value {
        let one = LOG.schema();
        json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}, OFF.schema()]})
    }
}

/// What `access_log.include` turns on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Included {
    ClientAddress,
    Path,
    RequestHeader(HeaderName),
}

/// One log.
fn access_log(fields: &mut Fields<'_, '_>) -> Option<Option<AccessLog>> {
    let path = fields.default("path", "stdout, off, or a file to append to (reopened on SIGHUP).", LogPath, "stdout");
    let syslog = fields.optional(
        "syslog",
        "A receiver of syslog messages (RFC 5424), in the place of path.",
        Object(syslog::syslog),
    );
    fields.at_most_one(&["path", "syslog"]);
    let format = fields.default(
        "format",
        "json: an object per line; combined: NCSA's lines as NGINX writes them; or {json: …}, {template: …}.",
        format::format(),
        "json",
    );
    let include = fields.default(
        "include",
        "Personal data to log, which is left out otherwise: client.address (whole, not cut to /24 or /48), path (not \
         masked, with its query), request_headers.NAME.",
        List(Parsed { parse: included, schema: included_schema, hint: |_| None }),
        "[]",
    );
    let when = selection::when(fields, "Which exchanges are logged: those that this holds for, or any of a list.");
    let sample = selection::sample(fields, "A share of those, such as 10%, chosen by their request ids.");
    let position = fields.position("format");
    let (path, Format { format, needs }, include) = (path?, format?, disclosure(&include?));
    for needed in needs {
        if let Some(missing) = needed.missing(&include) {
            fields.error(position, missing);
        }
    }
    let target = match (syslog, fields.has("syslog")) {
        (Some(syslog), _) => LogTarget::Syslog(syslog),
        (None, true) => return None,
        (None, false) => match path {
            Some(target) => target,
            None => return Some(None),
        },
    };
    let selection = LogSelection { when: when?, sample: sample? };
    Some(Some(AccessLog { target, format, include, selection }))
}

/// Where the access log goes; `None` for nowhere.
struct LogPath;

impl Type for LogPath {
    type Value = Option<LogTarget>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Option<LogTarget>> {
        match Text.parse(node, context)?.as_str() {
            "stdout" => Some(Some(LogTarget::Stdout)),
            "off" => Some(None),
            _ => {
                let path = FilePath.parse(node, context)?;
                // The file is made where there is none; its directory is not.
                let problem = match path.parent().is_some_and(|directory| !directory.is_dir()) {
                    true => Some("its directory does not exist"),
                    false => path.is_dir().then_some("it is a directory"),
                };
                if let Some(problem) = problem {
                    let tried = if node.may_be_shown() { format!(" ({})", path.display()) } else { String::new() };
                    let message = format!("the access log {} can't be opened{tried}: {problem}", node.describe());
                    context.error(node.position, message);
                    return None;
                }
                context.places.files.entry(path.clone()).or_insert(node.position);
                Some(Some(LogTarget::File(path)))
            }
        }
    }

    fn schema(&self) -> Value {
        Text.schema()
    }
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
const OFF: Parsed<Vec<AccessLog>> = Parsed {
    hint: |_| None,
    parse: |text| match text {
        "off" => Ok(Vec::new()),
        _ => Err("is not an access log; write an object such as {path: stdout}, or off".to_owned()),
    },
    schema: || json!({"const": "off"}),
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

pub(super) fn included_schema() -> Value {
    json!({"type": "string", "pattern": "^(client\\.address|path|request_headers\\..+)$"})
}
