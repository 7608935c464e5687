//! The `tracing` section, routes that differ from it, and collectors.

use std::time::Duration;

use http::HeaderName;

use super::{accept, parse};
use crate::model::{CollectorProtocol, RouteTracing, Share, TraceFormat, Tracing};

const REST: &str = "listeners: [{name: a, address: '127.0.0.1:0'}]\n";

fn tracing(text: &str) -> Tracing {
    accept(&format!("{REST}routes: []\n{text}")).config.tracing.expect("a section")
}

/// The error of a config with this part, without the file's name.
fn refused(text: &str) -> String {
    let text = if text.contains("routes:") { text.to_owned() } else { format!("routes: []\n{text}") };
    match parse(&format!("{REST}{text}")) {
        Ok(loaded) => format!("accepted: {:?}", loaded.config.tracing),
        Err(errors) => errors.to_string().replace("gateway.yaml:", ""),
    }
}

#[test]
fn a_config_without_the_section_traces_nothing() {
    assert_eq!(accept(&format!("{REST}routes: []")).config.tracing, None);
}

#[test]
fn an_empty_section_has_its_defaults() {
    let tracing = tracing("tracing: {}");
    assert_eq!(tracing.propagate, [TraceFormat::W3c]);
    assert_eq!(tracing.sample.share, Share::millionths(10_000));
    assert_eq!((tracing.sample.errors, tracing.sample.slower_than), (true, Some(Duration::from_secs(1))));
    assert_eq!((tracing.untrusted_rate, tracing.keeps_baggage, tracing.server_timing), (10, false, false));
    assert_eq!((tracing.service_name.as_str(), tracing.export), ("gateway", None));
}

#[test]
fn the_section_of_the_design() {
    let tracing = tracing(
        "tracing:
  propagate: [w3c, b3]
  sample: {share: 1%, errors: true, slower_than: 1s}
  export: {otlp: {endpoint: 'http://127.0.0.1:4317', protocol: grpc}}",
    );
    assert_eq!(tracing.propagate, [TraceFormat::W3c, TraceFormat::B3]);
    let collector = tracing.export.expect("an export");
    assert_eq!((collector.protocol, collector.gzip), (CollectorProtocol::OtlpGrpc, true));
    assert_eq!(
        (collector.endpoint.to_string().as_str(), collector.timeout),
        ("http://127.0.0.1:4317/", Duration::from_secs(10))
    );
}

#[test]
fn header_fields_of_a_collector_are_secrets_by_name() {
    let text =
        "tracing: {export: {otlp: {endpoint: 'https://a.no/otlp', protocol: http, headers: {authorization: token}}}}
secrets: {token: {value: Bearer abc}}";
    let loaded = accept(&format!("{REST}routes: []\n{text}"));
    assert_eq!(loaded.warnings, [], "the secret is used");
    let config = loaded.config;
    let collector = config.tracing.and_then(|tracing| tracing.export).expect("an export");
    let [(name, value)] = &collector.fields(&config.secrets)[..] else { panic!("{collector:?}") };
    assert_eq!((name, value.as_bytes()), (&HeaderName::from_static("authorization"), b"Bearer abc".as_slice()));
    assert!(!format!("{value:?}").contains("abc"));
}

#[test]
fn zipkin_has_its_own_path_where_none_is_said() {
    for (endpoint, expected) in [
        ("http://127.0.0.1:9411", "http://127.0.0.1:9411/api/v2/spans"),
        ("http://127.0.0.1:9411/z", "http://127.0.0.1:9411/z"),
    ] {
        let tracing = tracing(&format!("tracing: {{export: {{zipkin: {{endpoint: '{endpoint}'}}}}}}"));
        let collector = tracing.export.expect("an export");
        assert_eq!(
            (collector.protocol, collector.endpoint.to_string().as_str()),
            (CollectorProtocol::Zipkin, expected)
        );
    }
}

#[test]
fn routes_differ_in_what_they_name() {
    let routes = "routes:
  - {name: a, respond: {status: 200}, tracing: off}
  - {name: b, match: {path: {prefix: /b}}, respond: {status: 200}, tracing: {share: 10%, slower_than: off}}
  - {name: c, match: {path: {prefix: /c}}, respond: {status: 200}}
";
    let of = |more: &str| accept(&format!("{REST}{routes}{more}"));
    let loaded = of("tracing: {}");
    let tracing: Vec<_> = loaded.config.routes.iter().map(|route| route.tracing.clone()).collect();
    let own = RouteTracing::Sampling { share: Some(Share::millionths(100_000)), errors: None, slower_than: Some(None) };
    assert_eq!(tracing, [RouteTracing::Off, own, RouteTracing::AsEverywhere]);
    assert_eq!(loaded.warnings, []);
    let warnings: Vec<_> = of("").warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("gateway.yaml:3:") && warnings[0].contains("there is no section \"tracing\""),
        "{warnings:?}"
    );
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let collector = |more: &str| format!("tracing: {{export: {{otlp: {{{more}}}}}}}");
    for (text, place, said) in [
        ("tracing: {propagate: [w3c, b4]}".to_owned(), "3:28:", "unknown value \"b4\""),
        ("tracing: {sample: {share: 1}}".to_owned(), "3:27:", "expected text, found 1"),
        ("tracing: {sample: {share: 101%}}".to_owned(), "3:27:", "is not a share"),
        ("tracing: {export: {}}".to_owned(), "3:19:", "one of otlp, zipkin is needed"),
        ("tracing: {include: [cookies]}".to_owned(), "3:21:", "is nothing that can be logged"),
        ("tracing: {resource: {service.name: a}}".to_owned(), "3:22:", "service_name"),
        ("tracing: {sampel: {}}".to_owned(), "3:11:", "did you mean \"sample\""),
        (collector("protocol: http"), "3:", "\"endpoint\" is missing"),
        (collector("endpoint: '127.0.0.1:4317'"), "3:37:", "is not a URL"),
        (collector("endpoint: 'http://u:hemmelig@a:1'"), "3:37:", "has a user in it"),
        (collector("endpoint: 'http://a:1/otlp'"), "3:37:", "the URL of a gRPC collector has no path"),
        (collector("endpoint: 'http://a:1/v1/traces', protocol: http"), "3:37:", "which is appended"),
        (collector("endpoint: 'http://a:1', ca: gateway.yaml"), "3:", "can't be read"),
        (collector("endpoint: 'http://a:1', headers: {authorization: tokne}"), "3:76:", "there is no secret"),
        (collector("endpoint: 'http://a:1', headers: {content-type: a}"), "3:61:", "the exporter sets it"),
        (
            "routes: [{name: a, respond: {status: 200}, tracing: of}]".to_owned(),
            "2:53:",
            "is not how a route is traced",
        ),
        (
            "routes: [{name: a, respond: {status: 200}, tracing: {untrusted_rate: 1}}]".to_owned(),
            "2:54:",
            "unknown key",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(place) && error.contains(said), "{text}: {error}");
        assert!(!error.contains("hemmelig"), "{error}");
    }
}

#[test]
fn a_secret_in_the_place_of_its_name_is_not_repeated() {
    let error = refused("tracing: {export: {otlp: {endpoint: 'http://a:1', headers: {x-key: hemmelig123}}}}");
    assert!(error.contains("there is no secret") && !error.contains("hemmelig"), "{error}");
}
