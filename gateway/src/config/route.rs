//! The `routes` section.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::access_log;
use super::audit;
use super::fields::{Fields, Object};
use super::names;
use super::plugin;
use super::template::{FieldValue, Value};
use super::tracing;
use super::types::{At, Choice, Integer, List, Named, NonEmpty, ObjectOr, OrOff, Parsed, Size, Text, text, time};
use crate::model::{
    FixedResponse, HeaderEdits, HostnameMatch, PathMatch, Redirect, Route, RouteAction, RouteLimits, RouteMatch,
    ValueMatch,
};

/// One entry of `routes`.
pub(super) fn route(fields: &mut Fields<'_, '_>) -> Option<Route> {
    let name = fields.required("name", "Its name, for logs and metrics.", At(text(names::route_name)));
    let matches = fields.default(
        "match",
        "When the route applies: all conditions must hold. Without any it matches every request.",
        Object(matches),
        "{}",
    );
    let plugins = fields.default("plugins", "The plugins, in order.", List(Object(plugin::entry)), "[]");
    let upstream = fields.optional("upstream", "The upstream that answers.", At(text(names::name)));
    let redirect = fields.optional("redirect", "Answers with a redirect.", Object(redirect));
    let respond = fields.optional("respond", "Answers with a fixed response.", Object(respond));
    fields.exactly_one(&["upstream", "redirect", "respond"], "the route has nothing that answers");
    let rewrite = fields.optional("rewrite", "Changes the path before it goes upstream.", Object(rewrite));
    let request_headers =
        fields.default("request_headers", "Changes of the request's headers.", Object(header_edits), "{}");
    let response_headers =
        fields.default("response_headers", "Changes of the response's headers.", Object(header_edits), "{}");
    let timeouts = fields.default("timeouts", "Time limits of the exchange.", Object(timeouts), "{}");
    let limits = fields.default("limits", "Limits of the exchange.", Object(limits), "{}");
    let access_log = fields.default(
        "access_log",
        "Which of its exchanges are logged: off for none.",
        ObjectOr { object: Object(access_log::route_log), other: access_log::ROUTE_OFF },
        "{}",
    );

    let traced = fields.optional(
        "tracing",
        "Whether its exchanges take part in traces: off, or what differs from tracing.sample.",
        tracing::of_route(),
    );
    let tracing_at = fields.has("tracing").then(|| fields.position("tracing"));
    let audit = fields.optional(
        "audit",
        "Has its exchanges recorded in the audit trail, and says what for.",
        Object(audit::of_route),
    );

    let audit_at = fields.has("audit").then(|| (fields.position("audit"), upstream.clone()));
    if let Some(context) = fields.context() {
        context.names.audited.extend(audit_at);
        context.names.traced.extend(tracing_at);
        context.names.routes.extend(name.clone());
        context.names.upstreams.extend(upstream.clone());
    }
    let position = fields.position("rewrite");
    if fields.has("rewrite") && (fields.has("redirect") || fields.has("respond")) {
        fields.error(position, "\"rewrite\" needs an \"upstream\": nothing is forwarded by this route");
    } else if let (true, Some(matches)) = (fields.has("rewrite"), &matches)
        && !matches.has_prefix
    {
        fields.error(position, "\"rewrite\" replaces the matched prefix, so the route needs match.path.prefix");
    }
    let valid = fields.is_valid();
    let (name, matches, plugins) = (name?, matches?, plugins?);
    let (request_headers, response_headers) = (request_headers?, response_headers?);
    let limits = RouteLimits { request_timeout: timeouts?, ..limits? };
    let action = match (&upstream, redirect, respond) {
        (Some(upstream), ..) => RouteAction::Upstream(Arc::from(upstream.value.as_str())),
        (None, Some(redirect), _) => RouteAction::Redirect(redirect),
        (None, None, Some(response)) => RouteAction::Respond(response),
        (None, None, None) => return None,
    };
    let audit = audit.and_then(|audit| audit.of(&name.value)).map(Arc::new);
    let route = Route {
        name: Arc::from(name.value),
        matches: matches.conditions,
        plugins,
        action,
        rewrite_prefix: rewrite,
        request_headers,
        response_headers,
        limits,
        access_log: access_log?,
        tracing: traced.unwrap_or_default(),
        audit,
    };
    valid.then_some(route)
}

struct Matches {
    conditions: RouteMatch,
    has_prefix: bool,
}

fn matches(fields: &mut Fields<'_, '_>) -> Option<Matches> {
    let scheme = fields.optional(
        "scheme",
        "How the client came: http (in clear text) or https. Behind a trusted proxy, what its X-Forwarded-Proto says.",
        Choice(&[("http", "http"), ("https", "https")]),
    );
    let hostnames: Option<Vec<HostnameMatch>> = fields.optional(
        "hostnames",
        "Any of these: api.example.no, or *.example.no for one or more labels in front.",
        NonEmpty(text(names::hostname_match)),
    );
    let path = fields.optional("path", "The path, without the query.", Object(path));
    let methods: Option<Vec<Method>> = fields.optional(
        "methods",
        "Any of these, for example GET, which covers HEAD as well.",
        NonEmpty(text(names::method).hint(|text| Some(text.to_ascii_uppercase()))),
    );
    let headers = fields.default(
        "headers",
        "Header fields that must all match: a value, or {exact}, {regex} or {present: true}.",
        Named { key: |key| names::routable_header_name(key).map(drop), value: value_match() },
        "{}",
    );
    let query = fields.default(
        "query",
        "Query parameters that must all match: a value, or {exact}, {regex} or {present: true}.",
        Named { key: |_| Ok(()), value: value_match() },
        "{}",
    );
    let valid = fields.is_valid();
    let (headers, query) = (headers?, query?);
    if !valid {
        return None;
    }
    let headers = headers
        .into_iter()
        .filter_map(|(key, value)| Some((HeaderName::from_bytes(key.value.as_bytes()).ok()?, value?)));
    let has_prefix = matches!(path, Some(PathMatch::Prefix(_)));
    let conditions = RouteMatch {
        scheme,
        hostnames: hostnames.unwrap_or_default(),
        path: path.unwrap_or_default(),
        methods: methods.unwrap_or_default(),
        headers: headers.collect(),
        query: query.into_iter().filter_map(|(key, value)| Some((key.value, value?))).collect(),
    };
    Some(Matches { conditions, has_prefix })
}

fn value_match() -> ObjectOr<Object<ValueMatch>, Parsed<ValueMatch>> {
    ObjectOr { object: Object(value_conditions), other: text(|value| Ok(ValueMatch::Exact(value.to_owned()))) }
}

fn value_conditions(fields: &mut Fields<'_, '_>) -> Option<ValueMatch> {
    let exact = fields.optional("exact", "Exactly this value.", Text);
    let regex = fields.optional("regex", "A regular expression for the whole value.", text(names::whole_regex));
    let present = fields.optional("present", "Any value.", Choice(&[("true", ())]));
    fields.exactly_one(&["exact", "regex", "present"], "the condition is empty");
    match (exact, regex, present) {
        (Some(exact), ..) => Some(ValueMatch::Exact(exact)),
        (None, Some(regex), _) => Some(ValueMatch::Regex(regex)),
        (None, None, Some(())) => Some(ValueMatch::Present),
        (None, None, None) => None,
    }
}

fn path(fields: &mut Fields<'_, '_>) -> Option<PathMatch> {
    let prefix =
        fields.optional("prefix", "This path and what is below it: /a matches /a and /a/b, not /ab.", path_text());
    let exact = fields.optional("exact", "Exactly this path.", path_text());
    let regex = fields.optional("regex", "A regular expression for the whole path.", text(names::whole_regex));
    fields.exactly_one(&["prefix", "exact", "regex"], "the condition is empty");
    match (prefix, exact, regex) {
        (Some(prefix), ..) => Some(PathMatch::Prefix(prefix)),
        (None, Some(exact), _) => Some(PathMatch::Exact(exact)),
        (None, None, Some(regex)) => Some(PathMatch::Regex(regex)),
        (None, None, None) => None,
    }
}

/// A path in normal form.
fn path_text() -> Parsed<String> {
    text(names::path).hint(names::normal_path)
}

fn rewrite(fields: &mut Fields<'_, '_>) -> Option<String> {
    fields.required(
        "prefix",
        "Replaces the matched prefix. A target that a plugin has set outside of it, and `*`, stay as they are.",
        path_text(),
    )
}

fn redirect(fields: &mut Fields<'_, '_>) -> Option<Redirect> {
    let scheme = fields.optional("scheme", "http or https.", Choice(&[("http", "http"), ("https", "https")]));
    let hostname = fields.optional("hostname", "The hostname.", text(redirect_hostname));
    let port =
        fields.optional("port", "The port; with a new scheme and no port, the scheme's own.", Integer(1..=65_535));
    let path = fields.optional("path", "The whole path; the query stays.", path_text());
    let status = fields.default(
        "status",
        "301, 302, 303, 307 or 308.",
        Choice(&[
            ("301", StatusCode::MOVED_PERMANENTLY),
            ("302", StatusCode::FOUND),
            ("303", StatusCode::SEE_OTHER),
            ("307", StatusCode::TEMPORARY_REDIRECT),
            ("308", StatusCode::PERMANENT_REDIRECT),
        ]),
        "308",
    );
    fields.at_least_one(&["scheme", "hostname", "port", "path"], "the redirect would lead back to itself");
    let valid = fields.is_valid();
    let port = port.and_then(|port| u16::try_from(port).ok());
    let redirect = Redirect { scheme: scheme.map(str::to_owned), hostname, port, path, status: status? };
    valid.then_some(redirect)
}

/// As it goes into a Location: IPv6 in brackets.
fn redirect_hostname(text: &str) -> Result<String, String> {
    let host = names::host(text)?;
    Ok(if host.contains(':') { format!("[{host}]") } else { host })
}

fn respond(fields: &mut Fields<'_, '_>) -> Option<FixedResponse> {
    let status = fields.required("status", "The status, from 200 to 599.", Integer(200..=599));
    let content_type = fields.default(
        "content_type",
        "The Content-Type of the body.",
        text(names::header_value) as Parsed<HeaderValue>,
        "text/plain; charset=utf-8",
    );
    let body = fields.default("body", "The body.", Text, "\"\"");
    if let (Some(204 | 205 | 304), Some(body)) = (status, &body)
        && !body.is_empty()
    {
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
        fields.error(fields.position("body"), "a response with this status has no body; remove \"body\"");
    }
    let status = StatusCode::from_u16(u16::try_from(status?).ok()?).ok()?;
    Some(FixedResponse { status, content_type: content_type?, body: Bytes::from(body?) })
}

fn header_edits(fields: &mut Fields<'_, '_>) -> Option<HeaderEdits> {
    let set = fields.default(
        "set",
        "Fields and their values; a value replaces what is there. Variables such as ${client.address} are filled in per \
         request (see Variables); a value that comes out empty leaves no field.",
        Named { key: |key| names::editable_header_name(key).map(drop), value: FieldValue },
        "{}",
    );
    let remove = fields.default("remove", "Fields to remove.", List(text(names::editable_header_name)), "[]");
    let mut edits = HeaderEdits { remove: remove?, ..HeaderEdits::default() };
    for (key, value) in set? {
        let (Ok(name), Some(value)) = (HeaderName::from_bytes(key.value.as_bytes()), value) else { continue };
        match value {
            Value::Fixed(value) => edits.set.push((name, value)),
            Value::Computed(template) => edits.computed.push((name, template)),
        }
    }
    Some(edits)
}

fn timeouts(fields: &mut Fields<'_, '_>) -> Option<Option<std::time::Duration>> {
    fields.default(
        "request",
        "The whole exchange until the response's head, which waits for plugins and for what they hold back of its \
         body; off for no limit. When it has passed: 504, or 408 where the \
         client had not sent its whole body.",
        OrOff(time()),
        "60s",
    )
}

fn limits(fields: &mut Fields<'_, '_>) -> Option<RouteLimits> {
    let body = fields.default(
        "body",
        "The largest request body, as it comes and decoded; also the bound of a body that a plugin wants whole.",
        Size(0..=1 << 40),
        "10MiB",
    );
    let ratio = fields.default(
        "decoded_ratio",
        "What an encoded body that plugins read may become, as a multiple of the bytes that came; up to 1 MiB whatever came.",
        Integer(1..=100_000),
        "100",
    );
    let (max_body, decoded_ratio) = (body?, u32::try_from(ratio?).ok()?);
    Some(RouteLimits { max_body, decoded_ratio, ..RouteLimits::default() })
}
