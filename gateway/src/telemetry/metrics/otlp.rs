//! The page as OpenTelemetry's data model has it, for export to a collector. Names stay those of the page, so that a
//! dashboard finds the same series whichever way they came.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telemetry_export::model::{
    Data, Exemplar, ExponentialBuckets, ExponentialPoint, HistogramPoint, Interval, KeyValue, Metric, Number,
    NumberPoint,
};

use super::exponential::{ExponentialSum, ZERO_THRESHOLD};
use super::histogram::HistogramSum;
use super::page::{self, Family, Kind, Page, Series, Value};

impl Page {
    /// As metrics to be exported, read at `now`. A histogram with exponential buckets goes with those alone: a receiver would
    /// take the other form for a second histogram of the same name.
    pub fn metrics(&self, now: SystemTime) -> Vec<Metric> {
        let interval = Interval { start: nanoseconds(self.started), time: nanoseconds(now) };
        self.families.iter().filter(|family| !family.series.is_empty()).map(|family| metric(family, interval)).collect()
    }
}

fn metric(family: &Family, interval: Interval) -> Metric {
    let numbers = || family.series.iter().filter_map(|series| number(series, interval)).collect();
    let histograms = || family.series.iter().filter_map(histogram_of);
    let data = match family.kind {
        Kind::Counter => Data::Counter(numbers()),
        Kind::Gauge => Data::Gauge(numbers()),
        Kind::Histogram if histograms().any(|(_, sum)| sum.exponential.is_some()) => {
            let point = |(series, sum): (&Series, &HistogramSum)| {
                Some(exponential(series, sum, sum.exponential.as_ref()?, interval))
            };
            Data::ExponentialHistogram(histograms().filter_map(point).collect())
        }
        Kind::Histogram => Data::Histogram(histograms().map(|(series, sum)| explicit(series, sum, interval)).collect()),
    };
    // The codes of UCUM, as OpenTelemetry's conventions ask for.
    let unit = match family.unit() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    };
    Metric { name: family.name.clone().into(), description: family.help.into(), unit: unit.into(), data }
}

fn attributes(series: &Series) -> Vec<KeyValue> {
    series.labels.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())).collect()
}

fn number(series: &Series, interval: Interval) -> Option<NumberPoint> {
    let Value::Number(number) = &series.value else { return None };
    let value = match *number {
        page::Number::Count(count) => i64::try_from(count).map_or(Number::Double(count as f64), Number::Int),
        page::Number::Balance(balance) => Number::Int(balance),
        page::Number::Measure(measure) => Number::Double(measure),
    };
    Some(NumberPoint { attributes: attributes(series), interval, value, exemplars: Vec::new() })
}

fn histogram_of(series: &Series) -> Option<(&Series, &HistogramSum)> {
    match &series.value {
        Value::Histogram(sum) => Some((series, sum)),
        Value::Number(_) => None,
    }
}

fn explicit(series: &Series, sum: &HistogramSum, interval: Interval) -> HistogramPoint {
    HistogramPoint {
        attributes: attributes(series),
        interval,
        count: sum.count(),
        sum: sum.sum,
        bounds: Arc::clone(&sum.bounds),
        buckets: sum.buckets.clone(),
        exemplars: exemplars(sum),
    }
}

fn exponential(series: &Series, sum: &HistogramSum, buckets: &ExponentialSum, interval: Interval) -> ExponentialPoint {
    ExponentialPoint {
        attributes: attributes(series),
        interval,
        count: buckets.count(),
        sum: sum.sum,
        scale: buckets.scale,
        zero_count: buckets.zero,
        zero_threshold: ZERO_THRESHOLD,
        positive: ExponentialBuckets { offset: buckets.offset, counts: buckets.buckets.clone() },
        negative: ExponentialBuckets::default(),
        exemplars: exemplars(sum),
    }
}

fn exemplars(sum: &HistogramSum) -> Vec<Exemplar> {
    let exemplar = |exemplar: &super::exemplar::Exemplar| Exemplar {
        time: nanoseconds(exemplar.time),
        value: exemplar.value,
        trace_id: exemplar.trace.bytes(),
        span_id: exemplar.span.bytes(),
        attributes: Vec::new(),
    };
    sum.exemplars.iter().flatten().map(exemplar).collect()
}

fn nanoseconds(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
