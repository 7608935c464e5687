//! Values of header fields in the config: fixed text, or text with variables (`${client.address}`), compiled here.
//!
//! Who comes from another gateway writes `$remote_addr` or `%DOWNSTREAM_REMOTE_ADDRESS%` and would send just that: such
//! a value is refused with the right spelling.

use http::HeaderValue;
use serde_json::json;

use super::context::{Context, Type};
use super::error::suggest;
use super::names;
use super::tree::Node;
use super::types::{Text, scalar};
use super::value::MARK;
use crate::model::{Piece, Template, VARIABLES, Variable};

/// What a field is set to.
pub(super) enum Value {
    /// The same in every message.
    Fixed(HeaderValue),
    /// Made per request.
    Computed(Template),
}

/// The value of a field, with or without variables.
pub(super) struct FieldValue;

impl Type for FieldValue {
    type Value = Value;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<Value> {
        let of = scalar(node, "text", context)?;
        if let Some(message) = foreign(&of.written) {
            context.error(node.position, format!("{} {message}", node.describe()));
            return None;
        }
        let parsed = if of.variables {
            template(&of.text)
        } else {
            // By way of `Text`, which tells a number from text that only looks like one.
            names::header_value(&unescaped(&Text.parse(node, context)?)).map(Value::Fixed)
        };
        parsed.map_err(|message| context.error(node.position, format!("{} {message}", node.describe()))).ok()
    }

    fn schema(&self) -> serde_json::Value {
        json!({"type": "string"})
    }
}

/// `$$name` stands for `$name`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$$") {
        let escaped = rest[at + 2..].starts_with(|char: char| char.is_ascii_lowercase());
        out.push_str(&rest[..at + if escaped { 1 } else { 2 }]);
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out
}

fn template(text: &str) -> Result<Value, String> {
    let mut pieces = Vec::new();
    // Between marks stand names, outside of them text.
    for (place, part) in text.split(MARK).enumerate() {
        if place % 2 == 1 {
            pieces.push(Piece::Variable(variable(part)?));
        } else if !part.is_empty() {
            let plain = part.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            let text = unescaped(part);
            pieces.push(Piece::Text(text));
            if !plain {
                return Err("is not a header value; use visible ASCII characters, without line breaks".to_owned());
            }
        }
    }
    Ok(Value::Computed(Template(pieces)))
}

fn variable(name: &str) -> Result<Variable, String> {
    let known = VARIABLES.iter().find(|(known, ..)| *known == name);
    known.map(|(_, variable, _)| *variable).ok_or_else(|| {
        let hint = suggest(name, VARIABLES.iter().map(|(known, ..)| *known));
        format!("names a variable that does not exist, ${{{name}}}; {hint}")
    })
}

/// NGINX's variables, and ours.
const NGINX: [(&str, &str); 21] = [
    ("binary_remote_addr", "client.address"),
    ("document_uri", "request.path"),
    ("host", "request.host"),
    ("http_host", "request.host"),
    ("proxy_host", "upstream.name"),
    ("realip_remote_addr", "connection.peer"),
    ("remote_addr", "client.address"),
    ("remote_port", "connection.peer"),
    ("request_id", "request.id"),
    ("request_method", "request.method"),
    ("request_scheme", "request.scheme"),
    ("request_uri", "request.path"),
    ("scheme", "request.scheme"),
    ("server_name", "request.host"),
    ("server_port", "connection.port"),
    ("server_protocol", "protocol.name"),
    ("ssl_server_name", "tls.server_name"),
    ("upstream_name", "upstream.name"),
    ("uri", "request.path"),
    ("route_name", "route.name"),
    ("client_address", "client.address"),
];

/// Envoy's command operators, and ours.
const ENVOY: [(&str, &str); 12] = [
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "connection.peer"),
    ("DOWNSTREAM_LOCAL_PORT", "connection.port"),
    ("DOWNSTREAM_REMOTE_ADDRESS", "client.address"),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "client.address"),
    ("PROTOCOL", "protocol.name"),
    ("REQUESTED_SERVER_NAME", "tls.server_name"),
    ("REQ(:AUTHORITY)", "request.host"),
    ("REQ(:METHOD)", "request.method"),
    ("REQ(:PATH)", "request.path"),
    ("ROUTE_NAME", "route.name"),
    ("STREAM_ID", "request.id"),
    ("UPSTREAM_CLUSTER", "upstream.name"),
];

/// What is wrong with a value that has another gateway's variables in it.
fn foreign(written: &str) -> Option<String> {
    if let Some(name) = nginx_name(written) {
        let instead = instead(&name.to_ascii_lowercase(), &NGINX);
        return Some(format!(
            "has ${name}, which would be sent as it stands; {instead}, or $${name} for the text itself"
        ));
    }
    if let Some(operator) = envoy_operator(written) {
        let instead = instead(&operator.to_ascii_uppercase(), &ENVOY);
        return Some(format!("has %{operator}%, which would be sent as it stands; {instead}"));
    }
    let others = ["%[", "%{", "{http.", "{remote", "{{"];
    let other = others.iter().find(|other| written.contains(*other))?;
    Some(format!("has \"{other}\", which would be sent as it stands; {}", instead("", &[])))
}

fn instead(name: &str, table: &[(&str, &str)]) -> String {
    let listed = || {
        let all: Vec<_> = VARIABLES.iter().map(|(name, ..)| format!("${{{name}}}")).collect();
        format!("variables are {}", all.join(", "))
    };
    let known = table.iter().find(|(foreign, _)| *foreign == name);
    known.map_or_else(listed, |(_, ours)| format!("write ${{{ours}}}"))
}

/// The name behind a `$` that is no `${` and not escaped.
fn nginx_name(written: &str) -> Option<&str> {
    let bytes = written.as_bytes();
    let mut at = 0;
    while let Some(found) = written[at..].find('$') {
        let begin = at + found + 1;
        if bytes.get(begin) == Some(&b'$') {
            at = begin + 1;
            continue;
        }
        let rest = &written[begin..];
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
        if rest.starts_with(|char: char| char.is_ascii_lowercase()) {
            return Some(&rest[..end]);
        }
        at = begin;
    }
    None
}

/// What stands between two `%`, where it is one of Envoy's operators: capitals, perhaps with an argument.
fn envoy_operator(written: &str) -> Option<&str> {
    let mut rest = written;
    while let Some(begin) = rest.find('%') {
        let after = &rest[begin + 1..];
        let operator = &after[..after.find('%').unwrap_or(0)];
        let name = operator.split(['(', ':']).next().unwrap_or_default();
        if name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
            return Some(operator);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_gateways_are_refused_with_the_right_spelling() {
        for (text, ours) in [
            ("$remote_addr", "${client.address}"),
            ("ip=$remote_addr;", "${client.address}"),
            ("$http_host", "${request.host}"),
            ("$host:$server_port", "${request.host}"),
            ("%DOWNSTREAM_REMOTE_ADDRESS%", "${client.address}"),
            ("a %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% b", "${client.address}"),
            ("%REQ(:AUTHORITY)%", "${request.host}"),
            ("$no_such_thing", "${client.address}, ${connection.peer}"),
            ("%START_TIME%", "${client.address}, ${connection.peer}"),
            ("%[src]", "${client.address}"),
            ("{http.request.host}", "${client.address}"),
        ] {
            assert!(foreign(text).is_some_and(|message| message.contains(ours)), "{text}: {:?}", foreign(text));
        }
        for text in
            ["cost: $5", "100%", "a%20b%C3%A6", "$$remote_addr", "${client.address}", "max-age=60", "$", "50% to 60%"]
        {
            assert_eq!(foreign(text), None, "{text}");
        }
    }

    #[test]
    fn a_doubled_dollar_before_a_name_is_one() {
        assert_eq!(unescaped("$$remote_addr costs $$ and $5"), "$remote_addr costs $$ and $5");
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest() {
        assert!(variable("client.adress").is_err_and(|message| message.contains("did you mean \"client.address\"")));
        assert!(variable("client.address").is_ok());
    }
}
