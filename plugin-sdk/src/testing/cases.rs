//! Cases of a file on the test host: the same that `gateway plugin test` runs on the built plugin.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plugin_cases::{Case, Fails, Forwarded, Host, Response, Seen, Step, parse};

use super::{ClientResponse, TestHost, TestRequest, TestResponse};
use crate::{Failure, Plugin};

/// Runs every case of a file, in YAML or JSON; see the crate `plugin-cases` for the format. Each is run twice: with the end of
/// bodies in a call of its own, and with their last bytes, since a plugin must do with both.
///
/// # Panics
/// With every difference between what was expected and what was seen.
///
/// ```
/// # use plugin_sdk::prelude::*;
/// # struct Hello;
/// # #[plugin]
/// # impl Plugin for Hello {
/// #     type Config = serde::de::IgnoredAny;
/// #     fn configure(_: Self::Config) -> Result<Self, ConfigErrors> { Ok(Self) }
/// #     fn on_response_headers(&self, exchange: &Exchange<'_>, _end: bool) -> ResponseAction {
/// #         exchange.response().set_header("x-hello", "world").ok();
/// #         ResponseAction::next()
/// #     }
/// # }
/// plugin_sdk::testing::run_cases::<Hello>("
/// - name: a response gets the field
///   steps:
///     - request: {target: /a}
///       upstream: {body: hello}
///       expect: {status: 200, headers: {x-hello: world}, body: hello, forwarded: {target: /a}}
/// ");
/// ```
#[track_caller]
pub fn run_cases<P: Plugin>(text: &str) {
    let cases = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let here = cases.iter().filter(|case| case.only != Some(Host::Gateway));
    let wrong: Vec<String> = here.flat_map(run_both::<P>).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// In a call of its own.
    Alone,
    /// With its last bytes.
    WithBytes,
}

fn run_both<P: Plugin>(case: &Case) -> Vec<String> {
    let wrong = run_case::<P>(case, Ending::Alone);
    if wrong.is_empty() { run_case::<P>(case, Ending::WithBytes) } else { wrong }
}

fn run_case<P: Plugin>(case: &Case, ending: Ending) -> Vec<String> {
    let mut host = TestHost::new();
    for (name, value) in &case.secrets {
        host = host.secret(name, value.as_str());
    }
    for (name, answer) in &case.upstreams {
        let answer = test_response(answer);
        host = host.upstream(name, move |_| Ok(answer.clone()));
    }
    // The gateway of a case grants the route's own upstream too.
    if !case.upstreams.contains_key("test") {
        host = host.upstream("test", |_| Ok(TestResponse::new(200)));
    }
    host = if case.shared { host.shared() } else { host };
    host = if case.store_unmarked { host.store_unmarked() } else { host };
    let told = |what: String| format!("{}: {what}", case.name);
    let pointers = |errors: &crate::ConfigErrors| errors.iter().map(|error| error.pointer.clone()).collect::<Vec<_>>();
    let plugin = match (host.configure::<P>(case.config.clone()), &case.refused) {
        (Ok(plugin), None) => plugin,
        (Ok(_), Some(_)) => return vec![told("the config was not refused".to_owned())],
        (Err(errors), Some(expected)) if pointers(&errors) == *expected => return Vec::new(),
        (Err(errors), expected) => return vec![told(format!("expected {expected:?} to be refused, found {errors:?}"))],
    };
    let step = |(number, step): (usize, &Step)| {
        let differences = run_step(&host, &plugin, step, ending).differences(step);
        let told = |difference| told(format!("step {}: {difference}", number + 1));
        differences.into_iter().map(told).collect::<Vec<_>>()
    };
    case.steps.iter().enumerate().flat_map(step).collect()
}

fn run_step<P: Plugin>(host: &TestHost, plugin: &P, step: &Step, ending: Ending) -> Seen {
    // Where the gateway would end the plugin, the host panics, and so does the plugin itself.
    catch_unwind(AssertUnwindSafe(|| exchange(host, plugin, step, ending))).unwrap_or_else(|_| Seen {
        response: Response { status: 503, ..Response::default() },
        ended: true,
        ..Seen::default()
    })
}

fn exchange<P: Plugin>(host: &TestHost, plugin: &P, step: &Step, ending: Ending) -> Seen {
    let message = step.request.message().sent();
    let mut request = TestRequest::new(&step.request.method, &step.request.target).chunks(message.chunks);
    end_with_bytes(&mut request.chunks, ending);
    for (name, value) in &message.headers {
        request = request.header(name, value.as_str());
    }
    for (name, value) in &step.request.attributes {
        request = request.property(&format!("attribute.{name}"), value);
    }
    if let Some(client) = &step.request.client {
        request = request.client(client);
    }
    let mut run = host.run(plugin, request);
    let mut forwarded = None;
    if run.is_forwarded() {
        let sent = run.forwarded();
        forwarded = Some(Forwarded {
            method: sent.method.clone(),
            target: sent.target.clone(),
            headers: text(&sent.headers),
            body: sent.body(),
        });
        match step.fails {
            Some(Fails::Connect) => run.fail(Failure::Connect),
            Some(Fails::Timeout) => run.fail(Failure::Timeout),
            Some(Fails::Reset) => run.fail(Failure::Reset),
            None => {
                let mut answer = test_response(&step.upstream);
                end_with_bytes(&mut answer.chunks, ending);
                run.respond(answer)
            }
        };
    }
    let ClientResponse { status, headers, .. } = run.response();
    let response = Response { status: *status, headers: text(headers), body: run.response().body() };
    Seen { response, forwarded, log: run.log_fields().into_iter().collect(), ended: false }
}

fn end_with_bytes(chunks: &mut Vec<Vec<u8>>, ending: Ending) {
    if ending == Ending::WithBytes && chunks.len() > 1 {
        chunks.pop_if(|last| last.is_empty());
    }
}

fn test_response(answer: &plugin_cases::Answer) -> TestResponse {
    let message = answer.message().sent();
    let mut response = TestResponse::new(answer.status()).chunks(message.chunks);
    for (name, value) in &message.headers {
        response = response.header(name, value.as_str());
    }
    response
}

fn text(fields: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect()
}
