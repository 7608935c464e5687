//! What is told of what was found: to metrics, to later plugins, to the trace and to the audit trail. Names of categories and
//! numbers, never a value.

use plugin_sdk::audit::{self, Place};
use plugin_sdk::{Exchange, log, metrics};

use crate::rules::{Action, Rules};

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The request's body.
    RequestBody,
    /// A field of the request.
    RequestHeader,
    /// The query.
    Query,
    /// The response's body.
    ResponseBody,
    /// A field of the response.
    ResponseHeader,
    /// A field of the log record.
    Log,
}

impl Source {
    /// As metrics have it.
    const fn name(self) -> &'static str {
        match self {
            Self::RequestBody => "request-body",
            Self::RequestHeader => "request-header",
            Self::Query => "query",
            Self::ResponseBody => "response-body",
            Self::ResponseHeader => "response-header",
            Self::Log => "log",
        }
    }

    /// As the audit trail has it, to which the gateway's own log is no matter.
    const fn place(self) -> Option<Place> {
        match self {
            Self::RequestBody => Some(Place::RequestBody),
            Self::RequestHeader => Some(Place::RequestHeader),
            Self::Query => Some(Place::RequestQuery),
            Self::ResponseBody => Some(Place::ResponseBody),
            Self::ResponseHeader => Some(Place::ResponseHeader),
            Self::Log => None,
        }
    }

    /// What an action comes to here.
    const fn done(self, action: &Action) -> audit::Action {
        match action {
            Action::Hash { .. } => audit::Action::Pseudonymised,
            // Elsewhere it is masked: only the upstream is given placeholders.
            Action::Pseudonymise { .. } if matches!(self, Self::RequestBody | Self::RequestHeader | Self::Query) => {
                audit::Action::Pseudonymised
            }
            Action::Block => audit::Action::Blocked,
            Action::Mask { .. } | Action::Replace { .. } | Action::Drop | Action::Pseudonymise { .. } => {
                audit::Action::Masked
            }
        }
    }
}

/// Tells how often each category was found in one piece. At once and not at the body's end, because a body may break off.
pub(crate) fn report(exchange: &Exchange, rules: &Rules, counts: &[u32], source: Source) {
    let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    if sum == 0 {
        return;
    }
    let known = exchange.attribute("pii.categories").unwrap_or_default();
    let mut names: Vec<&str> = known.split(',').filter(|name| !name.is_empty()).collect();
    for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let name = rules.name(index);
        metrics::count("pii_redacted_total", &[("category", name), ("where", source.name())], u64::from(count));
        if let (Some(place), Some(action)) = (source.place(), rules.action_at(index))
            && exchange.note_audit(name, place, source.done(action), count).is_err()
        {
            log::warn!("there are too many notes: the audit trail is not told all that was found");
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let before = exchange.attribute("pii.count").and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    let (total, names) = (before + sum, names.join(","));
    let told = exchange.set_attribute("pii.count", &total.to_string());
    if told.and_then(|()| exchange.set_attribute("pii.categories", &names)).is_err() {
        log::warn!("there are too many attributes: later plugins are not told what was found");
    }
    exchange.set_trace_attribute("found", i64::try_from(total).unwrap_or(i64::MAX)).ok();
    exchange.set_trace_attribute("categories", names).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_is_told_whether_a_value_can_be_had_back() {
        let secret = || "s".to_owned();
        for (action, in_request, in_response) in [
            (Action::Mask { keep_last: 4 }, audit::Action::Masked, audit::Action::Masked),
            (Action::Replace { with: secret() }, audit::Action::Masked, audit::Action::Masked),
            (Action::Drop, audit::Action::Masked, audit::Action::Masked),
            (Action::Block, audit::Action::Blocked, audit::Action::Blocked),
            (Action::Hash { secret: secret() }, audit::Action::Pseudonymised, audit::Action::Pseudonymised),
            (Action::Pseudonymise { secret: secret() }, audit::Action::Pseudonymised, audit::Action::Masked),
        ] {
            assert_eq!(Source::RequestBody.done(&action), in_request);
            assert_eq!(Source::ResponseBody.done(&action), in_response);
        }
        assert_eq!(Source::Log.place(), None);
    }
}
