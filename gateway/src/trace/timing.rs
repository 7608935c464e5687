//! `Server-Timing` (<https://www.w3.org/TR/server-timing/>): what a client's developer may know of an exchange.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Trace, traceparent};

/// The value: the trace, and how long plugins and the upstream took, in milliseconds.
pub fn server_timing(trace: &Trace, plugins: Duration, upstream: Duration) -> String {
    let mut text = String::with_capacity(128);
    text.push_str("traceparent;desc=\"");
    text.extend(traceparent::format(&trace.outgoing(trace.span)).into_iter().map(char::from));
    text.push('"');
    for (name, took) in [("plugins", plugins), ("upstream", upstream)] {
        if !took.is_zero() {
            // Writing to a string does not fail.
            let _ = write!(text, ", {name};dur={:.3}", took.as_secs_f64() * 1e3);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{SpanId, TraceId};

    #[test]
    fn what_took_time_is_told_in_milliseconds() {
        let trace = Trace::new(TraceId::from_bytes([1; 16]).unwrap(), SpanId::from_bytes([2; 8]).unwrap(), true);
        let parent = format!("traceparent;desc=\"00-{}-{}-03\"", "01".repeat(16), "02".repeat(8));
        assert_eq!(server_timing(&trace, Duration::ZERO, Duration::ZERO), parent);
        let text = server_timing(&trace, Duration::from_micros(1_500), Duration::from_secs(2));
        assert_eq!(text, format!("{parent}, plugins;dur=1.500, upstream;dur=2000.000"));
    }
}
