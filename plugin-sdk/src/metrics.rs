//! Metrics of this plugin, exported by the gateway beside its own.
//!
//! ```
//! use plugin_sdk::{metrics, testing::TestHost};
//! let host = TestHost::new();
//! host.enter(|| metrics::count("refused", &[("by", "key")], 2));
//! assert_eq!(host.counted("refused", &[("by", "key")]), 2);
//! ```

use crate::bindings::edge::gateway::metrics::Label;

fn owned(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| Label { key: (*key).to_owned(), value: (*value).to_owned() }).collect()
}

/// Adds to a counter. Labels must have few values: never anything of a request.
pub fn count(name: &str, labels: &[(&str, &str)], delta: u64) {
    crate::raw::metrics::count(name, &owned(labels), delta);
}

/// Adds a value to a histogram.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
    crate::raw::metrics::observe(name, &owned(labels), value);
}
