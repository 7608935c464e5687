//! Whole exchanges: what vectors can't tell, such as what a trace shows.

use plugin_sdk::testing::{TestHost, TestRequest, json};
use rate_limit::RateLimit;

#[test]
fn a_trace_shows_who_was_refused_by_which_limit() {
    for (shadow, decision) in [(false, "refused"), (true, "would_refuse")] {
        let host = TestHost::new();
        let config = json!({"shadow": shadow, "limits": [{"name": "all", "by": "route", "requests": 1, "per": "1h"}]});
        let plugin = host.configure::<RateLimit>(config).expect("a good config");
        let passed = host.run(&plugin, TestRequest::get("/").traced());
        assert_eq!(passed.trace_attribute("decision"), None);
        let refused = host.run(&plugin, TestRequest::get("/").traced());
        assert_eq!(refused.trace_attribute("decision"), Some(decision.into()));
        assert_eq!(refused.trace_attribute("limits"), Some("all".into()));
    }
}
