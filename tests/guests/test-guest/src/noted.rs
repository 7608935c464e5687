//! Verbs about traces and the audit trail, which answer with what the plugin saw or was told; and those that tell whatever the plugin
//! knows to everybody who reads something of the gateway's.

use plugin_sdk::audit::{Action, Place};
use plugin_sdk::metrics;
use plugin_sdk::prelude::*;

/// Writes this wherever a plugin can write something that is read later.
pub(crate) fn tell_all(exchange: &Exchange<'_>, told: &str) {
    // What a name may be made of.
    let name: String = told.chars().filter(char::is_ascii_lowercase).collect();
    log::error!("all that is told: {told}");
    exchange.set_log_field("telling", Some(&format!("this was told: {told}")));
    exchange.set_log_field(told, Some("telling"));
    metrics::count("tellings", &[("telling", told)], 1);
    metrics::count("tellings", &[(&name, "telling")], 1);
    metrics::count(&format!("tellings_{name}"), &[], 1);
    metrics::observe("telling_sizes", &[("telling", told)], 1.0);
    let _ = exchange.set_trace_attribute("telling", told.to_owned());
    let _ = exchange.set_trace_attribute(&format!("telling.{name}"), 1);
    let _ = exchange.begin_span(&format!("telling.{name}"));
}

/// `trace-context`, `trace-attributes`, `trace-spans`, `trace-many` and `audit-note`; none for other verbs.
pub(crate) fn answer(exchange: &Exchange<'_>, verb: &str) -> Option<RequestAction> {
    let told = match verb {
        "trace-context" => context(exchange),
        "trace-attributes" => attributes(exchange),
        "trace-spans" => spans(exchange),
        "trace-many" => many(exchange),
        "audit-note" => notes(exchange),
        "tell-all" => {
            tell_all(exchange, &exchange.request().header("x-told").unwrap_or_default());
            return None;
        }
        _ => return None,
    };
    exchange.set_log_field("told", Some(&told));
    let wants = exchange.request().header("x-answer").is_some();
    wants.then(|| RequestAction::respond(LocalResponse::new(200).body(told)))
}

/// The context as a traceparent, and whether something is recorded.
fn context(exchange: &Exchange<'_>) -> String {
    exchange
        .trace()
        .map_or_else(|| "none".to_owned(), |context| format!("{} {}", context.traceparent(), context.is_recorded()))
}

/// One attribute of each kind, and some that can't be.
fn attributes(exchange: &Exchange<'_>) -> String {
    let set = [
        exchange.set_trace_attribute("guest.text", "a text"),
        exchange.set_trace_attribute("guest.integer", -7),
        exchange.set_trace_attribute("guest.real", 0.5),
        exchange.set_trace_attribute("guest.truth", true),
        exchange.set_trace_attribute("Not A Name", 1),
        exchange.set_trace_attribute("guest.long", "x".repeat(257)),
        exchange.set_trace_attribute("guest.nan", f64::NAN),
    ];
    format!("{set:?}")
}

/// `outer` with an attribute, `inner` below it, and `left`, which is not ended by the plugin.
fn spans(exchange: &Exchange<'_>) -> String {
    let outer = exchange.begin_span("outer");
    let inner = exchange.begin_span("inner");
    let set = outer.as_ref().map(|outer| outer.set_attribute("guest.step", 1));
    drop(inner);
    let told = format!("{set:?}");
    drop(outer);
    std::mem::forget(exchange.begin_span("left"));
    told
}

/// More than there may be of both.
fn many(exchange: &Exchange<'_>) -> String {
    let attributes = (0..40).filter(|at| exchange.set_trace_attribute(&format!("many.a{at}"), *at).is_ok()).count();
    let spans = (0..40).filter(|_| exchange.begin_span("many").is_ok()).count();
    format!("{attributes} {spans}")
}

/// Notes that are added up, and one that can't be.
fn notes(exchange: &Exchange<'_>) -> String {
    let noted = [
        exchange.note_audit("card", Place::RequestHeader, Action::Masked, 2),
        exchange.note_audit("card", Place::RequestHeader, Action::Masked, 1),
        exchange.note_audit("kari@example.no", Place::RequestBody, Action::Found, 1),
    ];
    format!("{noted:?}")
}
