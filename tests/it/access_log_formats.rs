//! Several access logs at a time: targets, formats, conditions and shares of their own.

use std::collections::BTreeSet;
use std::path::Path;

use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;

const LISTENER: &str = "listeners: [{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}]\n";

/// The whole lines of a log.
fn lines(directory: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

#[test]
fn each_log_has_its_own_format_and_conditions() {
    let gateway = TestGateway::start(
        &format!(
            "{LISTENER}access_log:
- {{path: access.log}}
- path: combined.log
  format: combined
  include: [request_headers.user-agent, request_headers.referer]
- path: errors.log
  when: {{status: 4xx, source: gateway}}
  format: {{template: '${{response.status}} ${{request.method}} \"${{request.path}}\" ${{route.name}} ${{trace.id}}'}}
- path: some.log
  format: {{json: {{fields: [status, path]}}}}
  when: [{{routes: quiet}}, {{status: 404}}]
routes:
- {{name: all, match: {{path: {{prefix: /a}}}}, respond: {{status: 200, body: hello}}}}
- {{name: quiet, match: {{path: {{prefix: /quiet}}}}, respond: {{status: 200}}}}
- {{name: silent, match: {{path: {{prefix: /silent}}}}, respond: {{status: 200}}, access_log: off}}
"
        ),
        &[],
    );
    let mut client = Client::http1(gateway.address());
    client.get_with("/a/b?token=s3cret", &[("user-agent", "curl/8 \"\u{e5}x"), ("referer", "https://a.no/")]);
    for path in ["/quiet", "/silent", "/nowhere"] {
        client.get(path);
    }
    let of = |name: &str| lines(gateway.directory(), name);
    eventually("the last record", || (of("some.log").len() == 2).then_some(()));
    let paths: Vec<_> = gateway.access_log().iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["/a/b", "/quiet", "/nowhere"]);
    let combined = of("combined.log");
    let (begin, end) = combined[0].split_once(" +0000] ").expect("a time in UTC");
    assert!(begin.starts_with("127.0.0.0 - - ["), "{begin}");
    assert_eq!(end, "\"GET /a/b HTTP/1.1\" 200 5 \"https://a.no/\" \"curl/8 \\x22\\xC3\\xA5x\"");
    assert!(combined[1].ends_with(" \"-\" \"-\""), "{combined:?}");
    assert_eq!(of("errors.log"), ["404 GET \"/nowhere\" - -"]);
    assert_eq!(of("some.log"), [r#"{"status":200,"path":"/quiet"}"#, r#"{"status":404,"path":"/nowhere"}"#]);
}

#[test]
fn all_logs_have_the_same_share_of_the_exchanges_and_a_route_has_its_own() {
    let gateway = TestGateway::start(
        &format!(
            "{LISTENER}access_log:
- {{path: one.log, sample: 20%}}
- {{path: two.log, sample: 20%}}
- {{path: more.log, sample: {{share: 50%, always: [error, {{status: 404}}]}}}}
routes:
- {{name: all, match: {{path: {{prefix: /a}}}}, respond: {{status: 200}}}}
- {{name: whole, match: {{path: {{prefix: /whole}}}}, respond: {{status: 200}}, access_log: {{sample: 100%}}}}
"
        ),
        &[],
    );
    let mut client = Client::http1(gateway.address());
    for _ in 0..300 {
        client.get("/a");
    }
    for _ in 0..20 {
        client.get("/nowhere");
    }
    for _ in 0..20 {
        client.get("/whole");
    }
    let records = |name: &str| -> Vec<serde_json::Value> {
        let lines = lines(gateway.directory(), name);
        lines.iter().map(|line| serde_json::from_str(line).expect("a record")).collect()
    };
    let ids = |name: &str, route: &str| -> BTreeSet<String> {
        let records = records(name).into_iter().filter(|record| record["route"] == route);
        records.map(|record| record["request_id"].as_str().expect("an id").to_owned()).collect()
    };
    for name in ["one.log", "two.log", "more.log"] {
        eventually("the records of the last route", || (ids(name, "whole").len() == 20).then_some(()));
    }
    let (one, two, more) = (ids("one.log", "all"), ids("two.log", "all"), ids("more.log", "all"));
    assert_eq!(one, two);
    // Of 300 with a chance of a fifth, less than 25 or more than 100 happens to nobody.
    assert!((25..100).contains(&one.len()), "{}", one.len());
    assert!(one.is_subset(&more) && more.len() > one.len() && more.len() < 300);
    assert_eq!(records("more.log").iter().filter(|record| record["status"] == 404).count(), 20);
}

#[test]
fn logs_that_can_not_be_opened_are_told_of_at_their_lines() {
    let route = "routes: [{name: all, respond: {status: 200}}]\n";
    let bad = "access_log:\n- {path: /proc/one.log}\n- {path: fine.log}\n- {path: /proc/two.log}\n";
    let error = TestGateway::try_start(&format!("{LISTENER}{bad}{route}"), &[]).err().expect("it does not start");
    let said: Vec<&str> = error.lines().map(|line| line.split_once("gateway.yaml:").expect("a place").1).collect();
    let why = "can't be opened: No such file or directory (os error 2)";
    assert_eq!(
        said,
        [format!("3:10: the access log /proc/one.log {why}"), format!("5:10: the access log /proc/two.log {why}")]
    );
    let gateway = TestGateway::start(&format!("{LISTENER}{route}"), &[]);
    let error = gateway.reload(&format!("{LISTENER}{bad}{route}")).expect_err("it is refused");
    assert!(error.contains("gateway.yaml:3:10: ") && error.contains("gateway.yaml:5:10: "), "{error}");
    Client::http1(gateway.address()).get("/still");
    gateway.logged("the old log goes on", |line| line["path"] == "/still");
}
