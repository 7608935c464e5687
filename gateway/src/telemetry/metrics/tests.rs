//! Counting and the text format.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::error::{Error, ErrorKind, Failure};
use crate::exchange::Protocol;
use crate::phase::Phase;

mod documented;
mod formats;

fn metrics() -> Arc<Metrics> {
    Metrics::new(&model::Metrics::default())
}

/// An exchange that went well.
pub(super) fn finished(protocol: Protocol, status: Option<StatusCode>, took: Duration) -> Finished<'static> {
    Finished { protocol, status, took, bytes_in: 0, bytes_out: 0, error: None, trace: None }
}

fn value<'t>(text: &'t str, sample: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
}

#[test]
fn workers_are_summed_and_reloads_continue() {
    let metrics = metrics();
    let workers = [metrics.worker(), metrics.worker()];
    for worker in &workers {
        for _reload in 0..2 {
            let took = Duration::from_millis(3);
            let exchange = finished(Protocol::Http2, Some(StatusCode::OK), took);
            worker.route("a").finished(&Finished { bytes_in: 5, bytes_out: 7, ..exchange });
        }
    }
    workers[0].route("a").finished(&finished(Protocol::Http1, None, Duration::from_secs(60)));
    let text = metrics.page().text();
    assert_eq!(value(&text, r#"gateway_requests_total{route="a",protocol="http2",status="2xx"}"#), Some("4"));
    assert_eq!(value(&text, r#"gateway_requests_total{route="a",protocol="http1",status="none"}"#), Some("1"));
    assert_eq!(value(&text, r#"gateway_request_duration_seconds_bucket{route="a",le="0.0025"}"#), Some("0"));
    assert_eq!(value(&text, r#"gateway_request_duration_seconds_bucket{route="a",le="0.005"}"#), Some("4"));
    assert_eq!(value(&text, r#"gateway_request_duration_seconds_bucket{route="a",le="10.0"}"#), Some("4"));
    assert_eq!(value(&text, r#"gateway_request_duration_seconds_bucket{route="a",le="+Inf"}"#), Some("5"));
    assert_eq!(value(&text, r#"gateway_request_duration_seconds_count{route="a"}"#), Some("5"));
    assert_eq!(value(&text, r#"gateway_response_body_bytes_total{route="a"}"#), Some("28"));
}

#[test]
fn families_have_their_numbers() {
    let metrics = metrics();
    let worker = metrics.worker();
    let error = Error::from(ErrorKind::UpstreamLimit);
    let exchange = finished(Protocol::Http1, Some(StatusCode::SERVICE_UNAVAILABLE), Duration::ZERO);
    worker.route("r").finished(&Finished { error: Some(&error), ..exchange });
    let upstream = worker.upstream("u");
    upstream.attempts.add(2);
    upstream.failed(Failure::Timeout);
    upstream.connections.add(3);
    upstream.connections.add(-1);
    let plugin = worker.plugin("p");
    plugin.called(Phase::RequestHeaders, Duration::from_millis(1500));
    plugin.called(Phase::Configure, Duration::ZERO);
    plugin.failed("trap");
    plugin.failed("unheard of");
    worker.listener("l").rejected("limit");
    metrics.reloaded(Reload::Plugin, false);
    metrics.show_endpoints(|| {
        [(1, false), (2, true), (2, false)]
            .map(|(port, healthy)| EndpointHealth {
                upstream: "u".into(),
                endpoint: ([127, 0, 0, 1], port).into(),
                healthy,
                failures: 2,
            })
            .to_vec()
    });
    metrics.plugin_load_failed("p");
    metrics.certificates_in_force(vec![CertificateExpiry {
        listener: "l".into(),
        certificate: "certs/api.pem".to_owned(),
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
    }]);
    let text = metrics.page().text();
    for (sample, expected) in [
        (r#"gateway_requests_shed_total{route="r",reason="upstream-limit"}"#, "1"),
        (r#"gateway_requests_shed_total{route="r",reason="overload"}"#, "0"),
        (r#"gateway_plugin_load_failures_total{plugin="p"}"#, "1"),
        (r#"gateway_certificate_expiry_timestamp_seconds{listener="l",certificate="certs/api.pem"}"#, "2000000000"),
        (r#"gateway_upstream_attempts_total{upstream="u"}"#, "2"),
        (r#"gateway_upstream_failures_total{upstream="u",kind="timeout"}"#, "1"),
        (r#"gateway_upstream_connections{upstream="u"}"#, "2"),
        (r#"gateway_plugin_calls_total{plugin="p",phase="request_headers"}"#, "1"),
        (r#"gateway_plugin_seconds_total{plugin="p",phase="request_headers"}"#, "1.5"),
        (r#"gateway_plugin_failures_total{plugin="p",reason="trap"}"#, "1"),
        (r#"gateway_plugin_failures_total{plugin="p",reason="other"}"#, "1"),
        (r#"gateway_listener_rejected_total{listener="l",reason="limit"}"#, "1"),
        (r#"gateway_reloads_total{what="plugin",result="failed"}"#, "1"),
        (r#"gateway_endpoint_healthy{upstream="u",endpoint="127.0.0.1:1"}"#, "0"),
        (r#"gateway_endpoint_healthy{upstream="u",endpoint="127.0.0.1:2"}"#, "1"),
        (r#"gateway_endpoint_failures_total{upstream="u",endpoint="127.0.0.1:2"}"#, "4"),
    ] {
        assert_eq!(value(&text, sample), Some(expected), "{sample}");
    }
    assert_eq!(text.matches("127.0.0.1:2").count(), 2, "a series of each family appears once");
}

#[test]
fn the_text_is_well_formed() {
    let metrics = metrics();
    let worker = metrics.worker();
    worker.route("od\"d\\na\nme").finished(&finished(Protocol::Http3, Some(StatusCode::NOT_FOUND), Duration::ZERO));
    let plugin = worker.plugin("p");
    plugin.count("hits", &[("kind", "a\"b")], 1);
    plugin.count("hits", &[("kind", "c")], 1);
    plugin.observe("sizes", &[], 3.0);
    let text = metrics.page().text();
    assert!(text.contains(r#"route="od\"d\\na\nme""#));
    assert!(text.ends_with('\n'));
    let (mut families, mut current) = (HashSet::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().unwrap();
            assert!(families.insert(current), "{current} twice");
        } else if !line.starts_with("# HELP ") {
            assert!(line.starts_with(current), "{line} is not of {current}");
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "gateway_build_info"] {
        assert!(families.contains(name), "{name}");
    }
}

#[test]
fn custom_metrics_are_summed_and_named_apart() {
    let metrics = metrics();
    for worker in [metrics.worker(), metrics.worker()] {
        let plugin = worker.plugin("p");
        plugin.count("pii.found_total", &[("kind", "email")], 2);
        plugin.observe("size", &[], 7.0);
        plugin.observe("size", &[], f64::NAN);
    }
    let text = metrics.page().text();
    assert_eq!(value(&text, r#"gateway_plugin_custom_pii_found_total{plugin="p",kind="email"}"#), Some("4"));
    assert_eq!(value(&text, r#"gateway_plugin_custom_size_count{plugin="p"}"#), Some("2"));
    assert_eq!(value(&text, r#"gateway_plugin_custom_size_sum{plugin="p"}"#), Some("14"));
}

#[test]
fn names_that_the_contract_takes_are_counted() {
    let metrics = metrics();
    let plugin = metrics.worker().plugin("p");
    let long = "n".repeat(100);
    plugin.count(&long, &[(&long, "a\"b"), ("_x", "c")], 1);
    let sample = format!(r#"gateway_plugin_custom_{long}_total{{plugin="p",{long}="a\"b",_x="c"}}"#);
    assert_eq!(value(&metrics.page().text(), &sample), Some("1"));
}

#[test]
fn custom_metrics_are_bounded_over_all_workers() {
    let metrics = metrics();
    let workers = [metrics.worker(), metrics.worker()];
    for worker in &workers {
        let plugin = worker.plugin("p");
        for user in 0..1500 {
            plugin.count("hits", &[("user", &user.to_string())], 1);
        }
        plugin.count("", &[], 1);
        plugin.count("hits", &[("plugin", "other")], 1);
        plugin.observe("size", &[("le", "1")], 1.0);
        plugin.count("hits", &[("a.b", "1"), ("a_b", "2")], 1);
        plugin.count("hits", &[("__name__", "other")], 1);
        plugin.count(&"n".repeat(101), &[], 1);
    }
    let text = metrics.page().text();
    assert_eq!(text.lines().filter(|line| line.starts_with("gateway_plugin_custom_hits_total{")).count(), 1000);
    assert_eq!(value(&text, r#"gateway_plugin_metrics_dropped_total{plugin="p"}"#), Some("1012"));
}
