//! The same page in each format.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::trace::{SpanId, Trace, TraceId};

/// A route with an exchange of a recorded trace, and names that need escaping.
fn page(native_histograms: bool) -> (Page, Trace) {
    let settings = model::Metrics { native_histograms, ..model::Metrics::default() };
    let metrics = Metrics::new(&settings);
    let workers = [metrics.worker(), metrics.worker()];
    let trace = Trace::new(TraceId::random(), SpanId::random(), true);
    let exchange = finished(Protocol::Http2, Some(StatusCode::OK), Duration::from_millis(3));
    workers[0].route("a\"b\\c").finished(&Finished { trace: Some(&trace), ..exchange });
    workers[1].route("a\"b\\c").finished(&exchange);
    let plugin = workers[0].plugin("p");
    plugin.count("same", &[("l", "x\ny\u{7}")], 3);
    plugin.observe("same", &[], 2.0);
    (metrics.page(), trace)
}

#[test]
fn open_metrics_has_exemplars_and_units_and_an_end() {
    let (page, trace) = page(false);
    let text = page.open_metrics();
    assert!(text.ends_with("\n# EOF\n"));
    for line in [
        "# TYPE gateway_requests counter",
        "# TYPE gateway_request_duration_seconds histogram",
        "# UNIT gateway_request_duration_seconds seconds",
        "# UNIT gateway_request_body_bytes bytes",
        r#"gateway_requests_total{route="a\"b\\c",protocol="http2",status="2xx"} 2"#,
        // One name for two kinds would clash without `_total`.
        "# TYPE gateway_plugin_custom_same_total unknown",
        "gateway_plugin_custom_same_total{plugin=\"p\",l=\"x\\ny\u{fffd}\"} 3",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    let bucket = r#"gateway_request_duration_seconds_bucket{route="a\"b\\c",le="0.005"} 2 # "#;
    let exemplar = text.lines().find_map(|line| line.strip_prefix(bucket)).unwrap();
    let (labels, value) = exemplar.split_once("} ").unwrap();
    assert_eq!(labels, format!("{{trace_id=\"{}\",span_id=\"{}\"", trace.id, trace.span));
    assert!(value.starts_with("0.003 ") && text.matches(" # {").count() == 1, "{value}");
    assert!(text.contains("gateway_request_duration_seconds_created{route=\"a\\\"b\\\\c\"} "));
    assert!(!page.text().contains(" # {") && !page.text().contains("_created"));
}

#[test]
fn the_families_of_open_metrics_have_samples_of_their_own_alone() {
    let text = page(false).0.open_metrics();
    let (mut families, mut current) = (BTreeSet::new(), ("", ""));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split_once(' ').unwrap();
            assert!(families.insert(current.0), "{line} twice");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffixes: &[&str] = match current.1 {
                "counter" => &["_total", "_created"],
                "histogram" => &["_bucket", "_sum", "_count", "_created"],
                _ => &[""],
            };
            assert!(suffixes.contains(&name.strip_prefix(current.0).unwrap()), "{line} in {current:?}");
        }
    }
    assert!(families.len() > 40, "{}", families.len());
}

#[test]
fn protobuf_is_messages_behind_their_lengths() {
    let (page, trace) = page(true);
    let bytes = page.protobuf();
    let (mut rest, mut messages) = (&bytes[..], 0);
    while !rest.is_empty() {
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        rest = &rest[length..];
        messages += 1;
    }
    assert!(messages > 20, "{messages}");
    // `trace_id`, and a field of 32 bytes.
    let label = [b"\x0a\x08trace_id\x12\x20", trace.id.to_string().as_bytes()].concat();
    assert!(bytes.windows(label.len()).any(|window| window == label));
}

#[test]
fn a_collector_gets_the_same_numbers() {
    use telemetry_export::model::{Data, Metric};
    let (page, trace) = page(true);
    let metrics = page.metrics(SystemTime::now());
    let by_name: BTreeMap<&str, &Metric> = metrics.iter().map(|metric| (metric.name.as_str(), metric)).collect();
    let Data::Counter(requests) = &by_name["gateway_requests_total"].data else { panic!() };
    assert_eq!(requests[0].value, telemetry_export::model::Number::Int(2));
    let durations = by_name["gateway_request_duration_seconds"];
    assert_eq!(durations.unit.as_str(), "s");
    let Data::ExponentialHistogram(points) = &durations.data else { panic!("{durations:?}") };
    assert_eq!((points[0].count, points[0].positive.counts.iter().sum::<u64>()), (2, 2));
    assert_eq!(points[0].exemplars[0].trace_id, trace.id.bytes());
    let Data::Histogram(observed) = &by_name["gateway_plugin_custom_same"].data else { panic!() };
    assert_eq!(observed[0].buckets.len(), observed[0].bounds.len() + 1);
    assert_eq!(observed[0].interval.start, requests[0].interval.start);
}
