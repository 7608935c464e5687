//! Values of header fields in the config: fixed text, or text with variables (`${client.address}`), compiled here.
//!
//! Who comes from another gateway writes `$remote_addr` or `%DOWNSTREAM_REMOTE_ADDRESS%` and would send just that: such
//! a value is refused with the right spelling.

use http::HeaderValue;
use serde_json::json;

use super::context::{Context, Type};
use super::error::{nearest, suggest};
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
        if let Some(message) = foreign(&of.written, &FOREIGN) {
            context.error(node.position, format!("{} {message}", node.describe()));
            return None;
        }
        let parsed = if of.variables {
            template(&of.text, has_escape(&of.written))
        } else {
            // By way of `Text`, which tells a number from text that only looks like one.
            let text = Text.parse(node, context)?;
            let text = if has_escape(&of.written) { unescaped(&text) } else { text };
            names::header_value(&text).map(Value::Fixed)
        };
        parsed.map_err(|message| context.error(node.position, format!("{} {message}", node.describe()))).ok()
    }

    fn schema(&self) -> serde_json::Value {
        json!({"type": "string"})
    }
}

/// What `$$` or `%%` stand in front of where the second one is to be sent and the first is not: what would be refused alone.
fn begins_foreign(sign: char, after: &str) -> bool {
    match sign {
        '$' => after.starts_with(|char: char| char.is_ascii_alphabetic() || char == '('),
        _ => after.starts_with(|char: char| char.is_ascii_alphabetic() || matches!(char, '[' | '{')),
    }
}

/// Where the next escape is.
fn escape(text: &str) -> Option<usize> {
    let is_escape = |(at, sign): (usize, char)| {
        let again = text[at + 1..].strip_prefix(sign).filter(|_| matches!(sign, '$' | '%'));
        again.is_some_and(|after| begins_foreign(sign, after)).then_some(at)
    };
    let mut signs = text.char_indices().filter(|(_, char)| matches!(char, '$' | '%')).peekable();
    while let Some((at, sign)) = signs.next() {
        if let Some(at) = is_escape((at, sign)) {
            return Some(at);
        }
        // Pairs are counted from the left: `$$$$name` has one escape, behind a `$$`.
        signs.next_if(|next| *next == (at + 1, sign));
    }
    None
}

/// Whether an escape is written in it. Where none is, what came from the environment is left as it is.
pub(super) fn has_escape(written: &str) -> bool {
    escape(written).is_some()
}

/// `$$name` stands for `$name`, and `%%name` for `%name`.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = escape(rest) {
        out.push_str(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out
}

fn template(text: &str, escapes: bool) -> Result<Value, String> {
    let mut pieces = Vec::new();
    // Between marks stand names, outside of them text.
    for (place, part) in text.split(MARK).enumerate() {
        if place % 2 == 1 {
            pieces.push(Piece::Variable(variable(part)?));
        } else if !part.is_empty() {
            let plain = part.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            pieces.push(Piece::Text(if escapes { unescaped(part) } else { part.to_owned() }));
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
        let names = || VARIABLES.iter().map(|(known, ..)| *known);
        // What is near none may be a part of a secret, and is not repeated.
        let named = nearest(name, names()).map(|_| format!(", ${{{name}}}")).unwrap_or_default();
        format!("names a variable that does not exist{named}; {}", suggest(name, names()))
    })
}

/// How other gateways write what is ours, for one kind of values.
pub(super) struct Foreign {
    /// What would become of such a text.
    pub(super) what_happens: &'static str,
    /// The names of our variables.
    pub(super) names: fn() -> Vec<&'static str>,
    /// NGINX's variables, and ours.
    pub(super) nginx: &'static [(&'static str, &'static str)],
    /// Envoy's command operators, and ours.
    pub(super) envoy: &'static [(&'static str, &'static str)],
    /// Caddy's placeholders, and ours.
    pub(super) caddy: &'static [(&'static str, &'static str)],
}

impl Foreign {
    fn ours(&self) -> String {
        let all: Vec<_> = (self.names)().iter().map(|name| format!("${{{name}}}")).collect();
        format!("variables are {}", all.join(", "))
    }
}

/// What header fields are concerned with.
const FOREIGN: Foreign = Foreign {
    what_happens: "which would be sent as it stands",
    names: || VARIABLES.iter().map(|(name, ..)| *name).collect(),
    nginx: &NGINX,
    envoy: &ENVOY,
    caddy: &CADDY,
};

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

/// Caddy's placeholders, and ours.
const CADDY: [(&str, &str); 11] = [
    ("client_ip", "client.address"),
    ("host", "request.host"),
    ("hostport", "request.host"),
    ("http.request.host", "request.host"),
    ("http.request.remote.host", "connection.peer"),
    ("http.request.uri", "request.path"),
    ("method", "request.method"),
    ("path", "request.path"),
    ("remote_host", "connection.peer"),
    ("scheme", "request.scheme"),
    ("uri", "request.path"),
];

/// What is wrong with a value that has another gateway's variables in it. Such values are often secrets: of what is written
/// nothing is repeated but names that are known here.
pub(super) fn foreign(written: &str, others: &Foreign) -> Option<String> {
    let what_happens = others.what_happens;
    let ours = || others.ours();
    if let Some(name) = nginx_name(written) {
        return Some(match known(&name.to_ascii_lowercase(), others.nginx) {
            Some(ours) => format!("has ${name}, {what_happens}; write ${{{ours}}}, or $${name} for the text itself"),
            None => {
                format!("has a \"$\" before a name, {what_happens}; {}, and $$ is a \"$\" of the text itself", ours())
            }
        });
    }
    if let Some(operator) = envoy_operator(written) {
        return Some(match known(&operator.to_ascii_uppercase(), others.envoy) {
            Some(ours) => format!("has %{operator}%, {what_happens}; write ${{{ours}}}"),
            None => format!(
                "has a name between two \"%\", {what_happens}; {}, and %% is a \"%\" of the text itself",
                ours()
            ),
        });
    }
    if let Some(name) = placeholder(written) {
        return Some(match known(name, others.caddy) {
            Some(ours) => format!("is {{{name}}}, {what_happens}; write ${{{ours}}}"),
            None => format!(
                "is a name in braces, {what_happens}; {}, and a text in braces can come from the environment",
                ours()
            ),
        });
    }
    let beginnings = ["%[", "%{", "{http.", "{client_ip}", "{remote", "{{"];
    if let Some(other) = beginnings.iter().find(|other| find(written, other).is_some()) {
        return Some(format!("has \"{other}\", {what_happens}; {}", ours()));
    }
    has_haproxy_name(written)
        .then(|| format!("has a \"%\" before a name, {what_happens}; {}, and %% is a \"%\" of the text itself", ours()))
}

fn known(name: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    table.iter().find(|(foreign, _)| *foreign == name).map(|(_, ours)| *ours)
}

/// Where a sign stands alone: not doubled, which is how it is escaped.
fn alone(written: &str, sign: char) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let begin = at + written[at..].find(sign)? + 1;
            if written[begin..].starts_with(sign) {
                at = begin + 1;
                continue;
            }
            at = begin;
            return Some((begin - 1, &written[begin..]));
        }
    })
}

/// Where a text is that is not escaped.
fn find(written: &str, text: &str) -> Option<usize> {
    match text.strip_prefix('%') {
        Some(rest) => alone(written, '%').find(|(_, after)| after.starts_with(rest)).map(|(at, _)| at),
        None => written.find(text),
    }
}

/// The name behind a `$` that is no `${` and not escaped: NGINX's, CGI's (`$REMOTE_ADDR`), or none, Kong's `$(headers.host)`.
fn nginx_name(written: &str) -> Option<&str> {
    let (_, after) = alone(written, '$').find(|(_, after)| begins_foreign('$', after))?;
    let end = after.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(after.len());
    Some(&after[..end])
}

/// What stands between two `%`, where it is one of Envoy's operators: capitals, perhaps with an argument.
fn envoy_operator(written: &str) -> Option<&str> {
    alone(written, '%').find_map(|(_, after)| {
        let operator = &after[..after.find('%')?];
        let name = operator.split(['(', ':']).next().unwrap_or_default();
        let is_operator = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        is_operator.then_some(operator)
    })
}

/// Whether one of the names of HAProxy's log format is in it (`%ci`, `%HM`): letters that are no octet of a URI (RFC 3986
/// section 2.1), and not behind a digit, where a `%` is per cent.
fn has_haproxy_name(written: &str) -> bool {
    alone(written, '%').any(|(at, after)| {
        let is_octet = after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
        let is_per_cent = written[..at].ends_with(|char: char| char.is_ascii_digit());
        after.starts_with(|char: char| char.is_ascii_alphabetic()) && !is_octet && !is_per_cent
    })
}

/// The name, where the value is nothing but a name in braces: one of Caddy's placeholders.
fn placeholder(written: &str) -> Option<&str> {
    let name = written.trim().strip_prefix('{')?.strip_suffix('}')?;
    let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-' | '>');
    (name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '>') && name.chars().all(is_name))
        .then_some(name)
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
            ("{http.request.host}", "${request.host}"),
            ("{http.request.orig_uri}", "${client.address}"),
            ("{client_ip}", "${client.address}"),
            ("ip={client_ip}", "${client.address}"),
            ("{host}", "${request.host}"),
            ("{uri}", "${request.path}"),
            ("{no_such_thing}", "${client.address}"),
            ("{>Referer}", "${client.address}"),
            ("%ci", "${client.address}"),
            ("ip=%ci:%cp", "${client.address}"),
            ("%HM %HU", "${client.address}"),
            ("%b", "${client.address}"),
            ("%{+Q}r", "${client.address}"),
            ("$(headers.host)", "${client.address}"),
            ("$REMOTE_ADDR", "${client.address}"),
            ("by $Remote_Port.", "${connection.peer}"),
        ] {
            assert!(
                foreign(text, &FOREIGN).is_some_and(|message| message.contains(ours)),
                "{text}: {:?}",
                foreign(text, &FOREIGN)
            );
        }
        for text in [
            "cost: $5",
            "100%",
            "100%.",
            "100%off",
            "a%20b%C3%A6",
            "$$remote_addr",
            "$$REMOTE_ADDR $$(x)",
            "%%ci %%[src] %%{x}",
            "%%START_TIME%%",
            "${client.address}",
            "max-age=60",
            "$",
            "50% to 60%",
            "{}",
            "{\"a\": 1}",
            "</items/{id}>; rel=item",
        ] {
            assert_eq!(foreign(text, &FOREIGN), None, "{text}");
        }
    }

    #[test]
    fn no_part_of_a_value_is_repeated_that_is_no_name_of_a_known_variable() {
        for text in [
            "hun$terhunter2",
            "$Hunter2",
            "$(hunter2)",
            "a%HUNTER%b",
            "%HUNTER(hunter2)%",
            "%REQ(hunter2)%",
            "{hunter2}",
            "%hunter2",
            "%[hunter2]",
            "{{hunter2}}",
        ] {
            let message = foreign(text, &FOREIGN).expect("it is refused").to_lowercase();
            assert!(!message.contains("hunter") && !message.contains("terh"), "{text}: {message}");
        }
        assert!(variable("hunter2.hunter2").is_err_and(|message| !message.contains("hunter")));
    }

    #[test]
    fn a_doubled_sign_before_a_name_is_one() {
        for (written, sent) in [
            ("$$remote_addr costs $$ and $5", "$remote_addr costs $$ and $5"),
            ("$$REMOTE_ADDR$$(x)", "$REMOTE_ADDR$(x)"),
            ("100%% of %%ci, %%[src] and %%{x}", "100%% of %ci, %[src] and %{x}"),
            ("$$$$name", "$$$name"),
        ] {
            assert_eq!(unescaped(written), sent, "{written}");
            assert_eq!(foreign(written, &FOREIGN), None, "{written}");
        }
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest() {
        assert!(variable("client.adress").is_err_and(|message| message.contains("did you mean \"client.address\"")));
        assert!(variable("client.address").is_ok());
    }
}
