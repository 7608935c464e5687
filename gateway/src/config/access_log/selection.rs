//! Which exchanges are logged: `when` and `sample`, of a log and of a route.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::config::context::{Context, Type};
use crate::config::fields::{Fields, Object};
use crate::config::names;
use crate::config::tree::Node;
use crate::config::types::{At, Boolean, Choice, ObjectOr, Parsed, Several, Time, scalar, text};
use crate::config::value::LONGEST;
use crate::model::{LogCondition, LogConditions, LogSample, LogSelection, RouteLog};

/// The object in a route's `access_log`.
pub(in crate::config) fn route_log(fields: &mut Fields<'_, '_>) -> Option<RouteLog> {
    let when = when(fields, "Of its exchanges only these are logged, if the log's own conditions hold as well.");
    let sample = sample(fields, "The share of its exchanges that are logged, in the place of what the logs say.");
    Some(RouteLog::Only(LogSelection { when: when?, sample: sample? }))
}

/// The word in its place.
pub(in crate::config) const ROUTE_OFF: Parsed<RouteLog> = Parsed {
    hint: |_| None,
    parse: |text| match text {
        "off" => Ok(RouteLog::Off),
        _ => Err("does not say what is logged; write off, or an object such as {sample: 10%}".to_owned()),
    },
    schema: || json!({"const": "off"}),
};

/// The conditions, any of which is enough; none where they are not there. `None` where they are wrong.
pub(super) fn when(fields: &mut Fields<'_, '_>, about: &str) -> Option<Vec<LogCondition>> {
    let when = fields.optional("when", about, Several(CONDITION));
    if fields.has("when") { when } else { Some(Vec::new()) }
}

/// The share; `None` where it is wrong.
pub(super) fn sample(fields: &mut Fields<'_, '_>, about: &str) -> Option<Option<LogSample>> {
    let sample = fields.optional("sample", about, ObjectOr { object: Object(sample_settings), other: Plain });
    if fields.has("sample") { sample.map(Some) } else { Some(None) }
}

/// Conditions that all must hold, or the word `error`.
const CONDITION: ObjectOr<Object<LogCondition>, Parsed<LogCondition>> = ObjectOr {
    object: Object(conditions),
    other: Parsed {
        hint: |_| None,
        parse: |text| match text {
            "error" => Ok(LogCondition::Error),
            _ => Err("is no condition; write error (a failure, or a status of 500 and above), or an object such as \
                      {status: 5xx}"
                .to_owned()),
        },
        schema: || json!({"const": "error"}),
    },
};

fn conditions(fields: &mut Fields<'_, '_>) -> Option<LogCondition> {
    let status = fields.optional("status", "A status, 4xx, 400-499, or a list of such.", Several(StatusRange));
    let failed = fields.optional("failed", "Whether the record has a failure.", Boolean);
    let slower_than = fields.optional(
        "slower_than",
        "The exchange took longer than this.",
        Time(std::time::Duration::ZERO..=LONGEST),
    );
    let routes =
        fields.optional("routes", "It matched this route, or any of a list.", Several(At(text(names::route_name))));
    let source = fields.optional(
        "source",
        "Who made the response, or any of a list: upstream, route, plugin, stored, gateway or none.",
        Several(Choice(&[
            ("upstream", "upstream"),
            ("route", "route"),
            ("plugin", "plugin"),
            ("stored", "stored"),
            ("gateway", "gateway"),
            ("none", "none"),
        ])),
    );
    let sampled = fields.optional("sampled", "Whether its trace is sampled.", Boolean);
    fields.at_least_one(
        &["status", "failed", "slower_than", "routes", "source", "sampled"],
        "the condition holds for every exchange",
    );
    if let (Some(context), Some(routes)) = (fields.context(), &routes) {
        context.names.logged_routes.extend(routes.iter().cloned());
    }
    let routes = routes.map(|routes| routes.into_iter().map(|route| route.value.into()).collect());
    let conditions = LogConditions { statuses: status, failed, slower_than, routes, sources: source, sampled };
    fields.is_valid().then_some(LogCondition::All(conditions))
}

/// `404`, `4xx` or `400-499`.
struct StatusRange;

impl Type for StatusRange {
    type Value = RangeInclusive<u16>;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<RangeInclusive<u16>> {
        let expected = "a status such as 404, 4xx or 400-499";
        let range = status_range(&scalar(node, expected, context)?.text);
        if range.is_none() {
            context.error(node.position, format!("expected {expected}, found {}", node.describe()));
        }
        range
    }

    fn schema(&self) -> Value {
        let pattern = "^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$";
        json!({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer", "minimum": 100, "maximum": 599}]})
    }
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let number = |text: &str| text.parse().ok().filter(|number| text.len() == 3 && (100..600).contains(number));
    if let Some(class) = text.strip_suffix("xx") {
        let first = number(&format!("{class}00"))?;
        return Some(first..=first + 99);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

fn sample_settings(fields: &mut Fields<'_, '_>) -> Option<LogSample> {
    let share = fields.required("share", "How many of a hundred: 10%, or 0.5%.", Share);
    let always = fields.optional(
        "always",
        "Those that this holds for, or any of a list, are all logged: error, or conditions as in when.",
        Several(CONDITION),
    );
    let always = if fields.has("always") { always? } else { Vec::new() };
    Some(LogSample { per_million: share?, always })
}

/// A share without anything else.
struct Plain;

impl Type for Plain {
    type Value = LogSample;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<LogSample> {
        Some(LogSample { per_million: Share.parse(node, context)?, always: Vec::new() })
    }

    fn schema(&self) -> Value {
        Share.schema()
    }
}

/// A share in parts of a million: `10%`, `0.5%`.
struct Share;

impl Type for Share {
    type Value = u32;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<u32> {
        let expected = "a share from 0% to 100%, such as 10% or 0.5% (at most four digits behind the point)";
        let share = per_million(&scalar(node, expected, context)?.text);
        if share.is_none() {
            context.error(node.position, format!("expected {expected}, found {}", node.describe()));
        }
        share
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,4})?%$"})
    }
}

fn per_million(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, parts) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()).then_some(())?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?
    };
    let share = digits(whole, 3)? * 10_000 + digits(&format!("{parts:0<4}"), 4).filter(|_| !parts.is_empty())?;
    (share <= 1_000_000).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_to_the_millionth() {
        for (text, parts) in [
            ("10%", Some(100_000)),
            ("0.5%", Some(5_000)),
            ("0.0001%", Some(1)),
            ("100%", Some(1_000_000)),
            ("0%", Some(0)),
        ] {
            assert_eq!(per_million(text), parts, "{text}");
        }
        for text in ["", "%", "10", "101%", "100.0001%", "-1%", "+1%", "1.%", ".5%", "0.00001%", "1e1%", "1000%"] {
            assert_eq!(per_million(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_are_numbers_classes_and_ranges() {
        for (text, range) in [("404", 404..=404), ("5xx", 500..=599), ("400-404", 400..=404)] {
            assert_eq!(status_range(text), Some(range), "{text}");
        }
        for text in ["", "xx", "6xx", "99", "600", "404-400", "4xx-5xx", "+40", "-", "400-"] {
            assert_eq!(status_range(text), None, "{text}");
        }
    }
}
