//! The `metrics` section.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::collector::otlp;
use super::context::{Context, Type};
use super::fields::{Fields, Object};
use super::tree::{Kind, Node};
use super::types::{At, Boolean, NonEmpty, Time};
use crate::model::{Metrics, MetricsExport};

/// Buckets of a histogram; each is a series of its own for every route and upstream.
const MAX_BUCKETS: usize = 50;
/// No request takes longer than a day.
const LONGEST: f64 = 86_400.0;
const BUCKETS: &str = "[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]";

/// The section.
pub(super) fn metrics(fields: &mut Fields<'_, '_>) -> Option<Metrics> {
    let buckets = fields.default(
        "buckets",
        "Upper bounds of the buckets of durations, in seconds, rising.",
        At(NonEmpty(Seconds)),
        BUCKETS,
    );
    let native_histograms = fields.default(
        "native_histograms",
        "Gives durations exponential buckets besides, which Prometheus scrapes as native histograms.",
        Boolean,
        "false",
    );
    let exemplars = fields.default(
        "exemplars",
        "Shows the last recorded trace of each bucket of a route's durations, in OpenMetrics and protobuf.",
        Boolean,
        "true",
    );
    let export = fields.optional("export", "Sends all metrics to a collector besides.", Object(export));
    let buckets = buckets?;
    if let Some(wrong) = unfit(&buckets.value) {
        fields.error(buckets.position, wrong);
        return None;
    }
    Some(Metrics {
        buckets: Arc::from(buckets.value),
        native_histograms: native_histograms?,
        exemplars: exemplars?,
        export,
    })
}

fn export(fields: &mut Fields<'_, '_>) -> Option<MetricsExport> {
    let collector = fields.required("otlp", "A collector that speaks OpenTelemetry's protocol.", Object(otlp));
    let interval = fields.default(
        "interval",
        "From one export to the next.",
        Time(Duration::from_secs(1)..=Duration::from_secs(3600)),
        "60s",
    );
    Some(MetricsExport { collector: collector?, interval: interval? })
}

/// What is wrong with bounds that are each fine by itself.
fn unfit(bounds: &[f64]) -> Option<String> {
    if bounds.len() > MAX_BUCKETS {
        return Some(format!("{} buckets are too many; at most {MAX_BUCKETS}", bounds.len()));
    }
    let pair = bounds.windows(2).find(|pair| pair[0] >= pair[1])?;
    Some(format!("the bounds must rise, but {} comes before {}", pair[0], pair[1]))
}

/// A number of seconds, with a fraction or without.
struct Seconds;

impl Type for Seconds {
    type Value = f64;

    fn parse(&self, node: &Node, context: &mut Context<'_>) -> Option<f64> {
        let number = match &node.kind {
            Kind::Scalar(scalar) if scalar.plain || scalar.from_environment => scalar.text.parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| *number > 0.0 && *number <= LONGEST);
        if number.is_none() {
            let expected = format!("expected a number of seconds above 0 and up to {LONGEST}, such as 0.25");
            context.error(node.position, format!("{expected}, found {}", node.describe()));
        }
        number
    }

    fn schema(&self) -> Value {
        json!({"anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST},
            {"$ref": "#/$defs/environment"}
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_models() {
        let written: Vec<f64> =
            BUCKETS.trim_matches(['[', ']']).split(", ").map(|bound| bound.parse().unwrap()).collect();
        assert_eq!(written, Metrics::BUCKETS);
        assert_eq!(unfit(&written), None);
    }

    #[test]
    fn bounds_rise_and_are_not_too_many() {
        assert!(unfit(&[0.1, 0.1]).unwrap().contains("must rise"));
        assert!(unfit(&[1.0, 0.5]).unwrap().contains("1 comes before 0.5"));
        let many: Vec<f64> = (1..=51).map(f64::from).collect();
        assert!(unfit(&many).unwrap().contains("at most 50"));
    }
}
