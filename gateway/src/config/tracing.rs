//! The `tracing` section, and the key of that name in routes.

use serde_json::json;

use super::fields::{Fields, Object};
use super::types::{Boolean, Choice, Integer, List, Named, ObjectOr, OrOff, Parsed, Text, time};
use super::{access_log, collector};
use crate::model::{Collector, RouteTracing, Sampling, Share, TraceFormat, Tracing};

/// The `tracing` section.
pub(super) fn tracing(fields: &mut Fields<'_, '_>) -> Option<Tracing> {
    let propagate = fields.default(
        "propagate",
        "How the place in a trace is read and passed on: w3c (traceparent and tracestate), b3 (one field), b3_multi (X-B3-*). \
         Of a request, the first that is valid counts; upstreams get all of them.",
        List(Choice(&[("w3c", TraceFormat::W3c), ("b3", TraceFormat::B3), ("b3_multi", TraceFormat::B3Multi)])),
        "[w3c]",
    );
    let sample = fields.default("sample", "Which exchanges are exported.", Object(sample), "{}");
    let baggage = fields.default(
        "baggage",
        "What becomes of the baggage field of peers outside of forwarding.trusted: drop or keep.",
        Choice(&[("drop", false), ("keep", true)]),
        "drop",
    );
    let include = fields.default(
        "include",
        "Personal data that spans show, which is left out otherwise: client.address (whole, not cut to /24 or /48), path (not \
         masked, with its query), request_headers.NAME.",
        List(Parsed { parse: access_log::included, schema: access_log::included_schema, hint: |_| None }),
        "[]",
    );
    let service_name = fields.default("service_name", "service.name of what is exported.", Text, "gateway");
    let resource = fields.default(
        "resource",
        "Further attributes of the resource, such as deployment.environment.name.",
        Named { key: attribute, value: Text },
        "{}",
    );
    let server_timing = fields.default(
        "server_timing",
        "Tells clients the trace, and how long plugins and the upstream took, in Server-Timing.",
        Boolean,
        "false",
    );
    let export = fields.optional(
        "export",
        "Where spans go. Without it contexts are passed on, and no spans are made.",
        Object(export),
    );
    if !fields.is_valid() {
        return None;
    }
    let (sample, untrusted_rate) = sample?;
    let resource = resource?.into_iter().filter_map(|(key, value)| Some((key.value, value?))).collect();
    Some(Tracing {
        propagate: propagate?,
        sample,
        untrusted_rate,
        keeps_baggage: baggage?,
        include: access_log::disclosure(&include?),
        service_name: service_name?,
        resource,
        server_timing: server_timing?,
        export,
    })
}

/// `sample`, and how many strangers per second decide by themselves.
fn sample(fields: &mut Fields<'_, '_>) -> Option<(Sampling, u32)> {
    let share = fields.default(
        "share",
        "Of the traces that begin here, as 1% or 0.05%. Others are recorded where their parent is, if it comes from \
         forwarding.trusted.",
        SHARE,
        "1%",
    );
    let errors = fields.default("errors", "Also those that end with 5xx, or are cut.", Boolean, "true");
    let slower_than =
        fields.default("slower_than", "Also those that take at least so long, or off.", OrOff(time()), "1s");
    let untrusted_rate = fields.default(
        "untrusted_rate",
        "How many requests per second from outside of forwarding.trusted are recorded because their sampled flag asks for it. \
         Beyond, share decides.",
        Integer(0..=1_000_000),
        "10",
    );
    let sampling = Sampling { share: share?, errors: errors?, slower_than: slower_than? };
    Some((sampling, u32::try_from(untrusted_rate?).ok()?))
}

fn export(fields: &mut Fields<'_, '_>) -> Option<Collector> {
    let otlp = fields.optional("otlp", "A collector that speaks OpenTelemetry's protocol.", Object(collector::otlp));
    let zipkin =
        fields.optional("zipkin", "A collector that takes Zipkin's JSON, version 2.", Object(collector::zipkin));
    fields.exactly_one(&["otlp", "zipkin"], "there is nowhere to export to");
    otlp.or(zipkin)
}

/// `routes[].tracing`.
pub(super) fn of_route() -> ObjectOr<Object<RouteTracing>, Parsed<RouteTracing>> {
    ObjectOr { object: Object(route), other: OFF }
}

fn route(fields: &mut Fields<'_, '_>) -> Option<RouteTracing> {
    let share = fields.optional("share", "Of the traces that begin here.", SHARE);
    let errors = fields.optional("errors", "Also those that end with 5xx, or are cut.", Boolean);
    let slower_than = fields.optional("slower_than", "Also those that take at least so long, or off.", OrOff(time()));
    fields.is_valid().then_some(RouteTracing::Sampling { share, errors, slower_than })
}

const OFF: Parsed<RouteTracing> = Parsed {
    parse: |text| match text {
        "off" => Ok(RouteTracing::Off),
        _ => Err("is not how a route is traced; write off, or an object such as {share: 10%}".to_owned()),
    },
    schema: || json!({"const": "off"}),
    hint: |_| None,
};

const SHARE: Parsed<Share> = Parsed {
    parse: |text| {
        share(text).ok_or_else(|| "is not a share; write a number up to 100 with %, for example 1% or 0.05%".to_owned())
    },
    schema: || json!({"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,4})?%$"}),
    hint: |_| None,
};

/// Percent with up to four decimals, which are millionths of the whole.
fn share(text: &str) -> Option<Share> {
    let number = text.strip_suffix('%')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole, 3) || !digits(decimals, 4) {
        return None;
    }
    let millionths = whole.parse::<u32>().ok()? * 10_000 + format!("{decimals:0<4}").parse::<u32>().ok()?;
    (millionths <= 1_000_000).then(|| Share::millionths(millionths))
}

/// The name of an attribute of the resource.
fn attribute(text: &str) -> Result<(), String> {
    let valid = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    match text {
        "service.name" => Err("has a key of its own: service_name".to_owned()),
        _ if valid => Ok(()),
        _ => Err("is not the name of an attribute; use letters, digits, \".\", \"_\" and \"-\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percents_with_decimals() {
        for (text, millionths) in [("1%", 10_000), ("0.05%", 500), ("100%", 1_000_000), ("0%", 0), ("12.5%", 125_000)] {
            assert_eq!(share(text), Some(Share::millionths(millionths)), "{text}");
        }
        for text in ["", "%", "1", "0.01", "101%", "100.1%", "-1%", "1.%", ".5%", "1.00001%", "1e1%", "1 %"] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
