//! `access_log.format`: JSON with all members or some, NCSA combined, or a template.

use http::HeaderName;
use serde_json::{Value, json};

use crate::config::context::{Context, Type};
use crate::config::error::{nearest, suggest};
use crate::config::fields::{Fields, Object};
use crate::config::template::{Foreign, foreign, has_escape, unescaped};
use crate::config::tree::Node;
use crate::config::types::{NonEmpty, ObjectOr, Parsed, scalar, text};
use crate::config::value::MARK;
use crate::model::{Disclosure, LOG_MEMBERS, LOG_VARIABLES, LinePiece, LogField, RecordFormat};

/// A format, and what of it shows nothing unless `include` names it.
pub(super) struct Format {
    pub(super) format: RecordFormat,
    pub(super) needs: Vec<Needed>,
}

impl Format {
    const fn plain(format: RecordFormat) -> Self {
        Self { format, needs: Vec::new() }
    }
}

/// What has to be named in `include`.
pub(super) enum Needed {
    /// The path, for the query.
    Path,
    /// Some header field.
    Headers,
    /// This header field.
    Header(HeaderName),
}

impl Needed {
    fn of(field: LogField) -> Option<Self> {
        match field {
            LogField::Query => Some(Self::Path),
            LogField::Headers => Some(Self::Headers),
            _ => None,
        }
    }

    /// What is wrong where it is not there.
    pub(super) fn missing(&self, include: &Disclosure) -> Option<String> {
        match self {
            Self::Path if !include.full_path => {
                Some("the query is logged only where \"include\" names path; add it there".to_owned())
            }
            Self::Headers if include.request_headers.is_empty() => {
                Some("header fields are logged only where \"include\" names them, as request_headers.NAME".to_owned())
            }
            Self::Header(name) if !include.request_headers.contains(name) => Some(format!(
                "the header field {name} is logged only where \"include\" names it; add request_headers.{name} there"
            )),
            _ => None,
        }
    }
}

/// A word, or an object with settings.
pub(super) const fn format() -> ObjectOr<Object<Format>, Parsed<Format>> {
    ObjectOr {
        object: Object(with_settings),
        other: Parsed {
            parse: |text| match text {
                "json" => Ok(Format::plain(RecordFormat::Json(None))),
                "combined" => Ok(Format::plain(RecordFormat::Combined)),
                _ => Err(format!("is no format; {} (or {{template: …}})", suggest(text, ["json", "combined"]))),
            },
            schema: || json!({"enum": ["json", "combined"]}),
            hint: |_| None,
        },
    }
}

fn with_settings(fields: &mut Fields<'_, '_>) -> Option<Format> {
    let json = fields.optional("json", "An object per line.", Object(json_settings));
    let template = fields.optional(
        "template",
        "Text with variables such as ${client.address} (see Access log); what a value holds is escaped as NGINX does it.",
        Template,
    );
    fields.exactly_one(&["json", "template"], "the format is empty");
    json.or(template)
}

fn json_settings(fields: &mut Fields<'_, '_>) -> Option<Format> {
    let members = fields.required(
        "fields",
        "The members, such as [time, client, status], in this order.",
        NonEmpty(text(member)),
    )?;
    let needs = members.iter().copied().filter_map(Needed::of).collect();
    Some(Format { format: RecordFormat::Json(Some(members)), needs })
}

fn member(name: &str) -> Result<LogField, String> {
    let known = LOG_MEMBERS.iter().find(|(known, ..)| *known == name);
    known.map(|(_, field, _)| *field).ok_or_else(|| {
        format!("is no member of a record; {}", suggest(name, LOG_MEMBERS.iter().map(|(name, ..)| *name)))
    })
}

/// Text with variables.
struct Template;

impl Type for Template {
    type Value = Format;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Format> {
        let of = scalar(node, "text with variables", context)?;
        let parsed = match foreign(&of.written, &FOREIGN) {
            Some(message) => Err(message),
            None if !of.variables => {
                Err(format!("has no variables, so that all lines would be the same; valid: {}", names().join(", ")))
            }
            None => template(&of.text, has_escape(&of.written)),
        };
        parsed.map_err(|message| context.error(node.position, format!("{} {message}", node.describe()))).ok()
    }

    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
}

fn template(text: &str, escapes: bool) -> Result<Format, String> {
    let (mut pieces, mut needs) = (Vec::new(), Vec::new());
    // Between marks stand names, outside of them text.
    for (place, part) in text.split(MARK).enumerate() {
        if place % 2 == 1 {
            let piece = variable(part)?;
            needs.extend(match &piece {
                LinePiece::Field(field) => Needed::of(*field),
                LinePiece::RequestHeader(name) => Some(Needed::Header(name.clone())),
                LinePiece::Text(_) => None,
            });
            pieces.push(piece);
        } else if part.chars().any(char::is_control) {
            return Err("holds a line break or another control character; a record is one line".to_owned());
        } else if !part.is_empty() {
            pieces.push(LinePiece::Text(if escapes { unescaped(part) } else { part.to_owned() }));
        }
    }
    Ok(Format { format: RecordFormat::Template(pieces), needs })
}

/// What stands before the name of a header field, in which `_` stands for `-`.
const HEADER: &str = "request.headers.";

fn variables() -> impl Iterator<Item = (&'static str, LogField)> {
    let members = LOG_MEMBERS.iter().filter_map(|(_, field, variable)| Some(((*variable)?, *field)));
    members.chain(LOG_VARIABLES)
}

/// The names of all variables, sorted.
fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = variables().map(|(name, _)| name).chain(["request.headers.NAME"]).collect();
    names.sort_unstable();
    names
}

fn variable(name: &str) -> Result<LinePiece, String> {
    if let Some((_, field)) = variables().find(|(known, _)| *known == name) {
        return Ok(LinePiece::Field(field));
    }
    let header = name.strip_prefix(HEADER).map(|header| header.to_ascii_lowercase().replace('_', "-"));
    if let Some(header) = header.and_then(|header| HeaderName::try_from(header).ok()) {
        return Ok(LinePiece::RequestHeader(header));
    }
    // What is near none may be a part of a secret, and is not repeated.
    let named = nearest(name, names()).map(|_| format!(", ${{{name}}}")).unwrap_or_default();
    Err(format!("names a variable that does not exist{named}; {}", suggest(name, names())))
}

/// Variables of other gateways' logs, and ours.
const FOREIGN: Foreign = Foreign {
    what_happens: "which would be written as it stands",
    names,
    nginx: &[
        ("body_bytes_sent", "response.bytes"),
        ("bytes_sent", "response.bytes"),
        ("http_referer", "request.headers.referer"),
        ("http_user_agent", "request.headers.user_agent"),
        ("msec", "time.unix"),
        ("remote_addr", "client.address"),
        ("request", "request.line"),
        ("request_id", "request.id"),
        ("request_length", "request.bytes"),
        ("request_method", "request.method"),
        ("request_time", "duration.ms"),
        ("request_uri", "request.path"),
        ("scheme", "request.scheme"),
        ("server_protocol", "protocol.name"),
        ("status", "response.status"),
        ("time_iso8601", "time.rfc3339"),
        ("time_local", "time.local"),
        ("upstream_addr", "upstream.endpoint"),
        ("upstream_name", "upstream.name"),
        ("upstream_response_time", "upstream.ms"),
        ("uri", "request.path"),
    ],
    envoy: &[
        ("BYTES_RECEIVED", "request.bytes"),
        ("BYTES_SENT", "response.bytes"),
        ("DOWNSTREAM_REMOTE_ADDRESS", "client.address"),
        ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "client.address"),
        ("DURATION", "duration.ms"),
        ("PROTOCOL", "protocol.name"),
        ("REQ(:METHOD)", "request.method"),
        ("REQ(:PATH)", "request.path"),
        ("REQ(USER-AGENT)", "request.headers.user_agent"),
        ("REQ(X-REQUEST-ID)", "request.id"),
        ("RESPONSE_CODE", "response.status"),
        ("RESPONSE_FLAGS", "failure.kind"),
        ("ROUTE_NAME", "route.name"),
        ("START_TIME", "time.rfc3339"),
        ("STREAM_ID", "request.id"),
        ("TRACE_ID", "trace.id"),
        ("UPSTREAM_CLUSTER", "upstream.name"),
        ("UPSTREAM_HOST", "upstream.endpoint"),
    ],
    caddy: &[("method", "request.method"), ("path", "request.path"), ("uri", "request.path")],
};
