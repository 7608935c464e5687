//! What plugins add to a trace and tell the audit trail, on the test host: as at the gateway, whose rules it has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::time::Duration;

use plugin_sdk::audit::{Action, Place};
use plugin_sdk::prelude::*;
use plugin_sdk::testing::*;
use plugin_sdk::{FieldError, calls};

type Results = Vec<Result<(), FieldError>>;

thread_local! {
    /// What the calls of the plugin gave.
    static GAVE: RefCell<Results> = RefCell::default();
}

fn gave(result: Result<(), FieldError>) {
    GAVE.with_borrow_mut(|gave| gave.push(result));
}

fn all_gave() -> Results {
    GAVE.with_borrow_mut(std::mem::take)
}

struct Noting;

#[plugin]
impl Plugin for Noting {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        let outer = exchange.begin_span("outer").unwrap();
        {
            let _inner = exchange.begin_span("ask").unwrap();
            calls::get("slow", "/").send().ok();
        }
        gave(outer.set_attribute("step", 1));
        std::mem::forget(exchange.begin_span("left").unwrap());
        drop(outer);
        for (name, value) in [("Bad", "x".to_owned()), ("long", "x".repeat(257)), ("fits", "x".repeat(256))] {
            gave(exchange.set_trace_attribute(name, value));
        }
        gave(exchange.set_trace_attribute("nan", f64::NAN));
        gave(exchange.begin_span("no name").map(drop));
        gave(exchange.note_audit("card", Place::RequestHeader, Action::Found, 1));
        gave(exchange.note_audit("card", Place::RequestHeader, Action::Found, 2));
        gave(exchange.note_audit("no category", Place::RequestHeader, Action::Found, 2));
        RequestAction::next()
    }

    fn on_log(&self, exchange: &Exchange<'_>) {
        let left = exchange.begin_span("late").unwrap();
        gave(left.set_attribute("step", 2));
        gave(exchange.note_audit("card", Place::ResponseBody, Action::Passed, 1));
    }
}

fn host() -> TestHost {
    let host = TestHost::new();
    let clock = host.clone();
    host.upstream("slow", move |_| {
        clock.advance(Duration::from_millis(30));
        Ok(TestResponse::new(200))
    })
}

#[test]
fn spans_last_over_calls_and_end_with_the_call_of_the_plugin() {
    let host = host();
    let plugin = host.configure::<Noting>(json!({})).unwrap();
    let mut run = host.run(&plugin, TestRequest::get("/").traced());
    host.advance(Duration::from_secs(1));
    run.respond(TestResponse::new(200));
    let spans = run.spans();
    let seen: Vec<_> = spans.iter().map(|span| (&*span.name, span.parent.as_deref(), span.took.as_millis())).collect();
    assert_eq!(seen, [("outer", None, 30), ("ask", Some("outer"), 30), ("left", Some("outer"), 0), ("late", None, 0)]);
    assert_eq!(spans[0].attribute("step"), Some(1.into()));
    assert_eq!(spans[3].attribute("step"), Some(2.into()));
    let errors: Vec<_> = all_gave().into_iter().filter_map(Result::err).collect();
    use FieldError::{InvalidName, InvalidValue, TooLarge, TooLate};
    assert_eq!(errors, [InvalidName, TooLarge, InvalidValue, InvalidName, InvalidName, TooLate]);
    assert_eq!(run.trace_attribute("fits"), Some("x".repeat(256).into()));
    assert_eq!(run.trace_attribute("long"), None);
    assert_eq!(run.audit_notes().len(), 1);
    assert_eq!(run.audited("card", Place::RequestHeader, Action::Found), 3);
}

#[test]
fn without_a_trace_nothing_is_kept_and_nothing_refused() {
    let host = host();
    let plugin = host.configure::<Noting>(json!({})).unwrap();
    let mut run = host.run(&plugin, TestRequest::get("/"));
    run.respond(TestResponse::new(200));
    assert!(run.spans().is_empty() && run.trace_attribute("fits").is_none());
    let errors: Vec<_> = all_gave().into_iter().filter_map(Result::err).collect();
    assert_eq!(errors, [FieldError::InvalidName, FieldError::TooLate], "those of the audit trail alone");
}

struct Greedy;

#[plugin]
impl Plugin for Greedy {
    type Config = serde::de::IgnoredAny;

    fn configure(_: Self::Config) -> Result<Self, ConfigErrors> {
        Ok(Self)
    }

    fn on_request_headers(&self, exchange: &Exchange<'_>, _end: bool) -> RequestAction {
        for number in 0..40 {
            gave(exchange.set_trace_attribute(&format!("a{number}"), number));
            gave(exchange.begin_span("span").map(drop));
        }
        for number in 0..200 {
            gave(exchange.note_audit(&format!("c{number}"), Place::RequestPath, Action::Found, 1));
        }
        RequestAction::next()
    }
}

#[test]
fn what_is_over_the_bounds_is_dropped_by_an_error() {
    let host = TestHost::new();
    let plugin = host.configure::<Greedy>(json!({})).unwrap();
    let run = host.run(&plugin, TestRequest::get("/").traced());
    assert_eq!((run.spans().len(), run.audit_notes().len()), (32, 128));
    assert!(run.trace_attribute("a31").is_some() && run.trace_attribute("a32").is_none());
    let refused = all_gave().into_iter().filter(|gave| *gave == Err(FieldError::TooLarge)).count();
    assert_eq!(refused, 8 + 8 + 72);
}
