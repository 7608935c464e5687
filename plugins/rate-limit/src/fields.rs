//! The RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10), Retry-After and the 429 response.

use std::time::Duration;

use plugin_sdk::LocalResponse;
use plugin_sdk::counters::{Decision, Rate};
use serde_json::json;

use crate::config::Limit;

/// The problem type of the draft's section on problem types.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The bucket's rate: `requests` per window, on average, with `burst` at once.
pub fn rate(limit: &Limit) -> Rate {
    Rate { burst: limit.burst, per_second: f64::from(limit.requests) / limit.per.as_secs_f64() }
}

/// `RateLimit-Policy`: an item per limit, with quota `q` and window `w` in whole seconds. A window that isn't whole
/// seconds is rounded up, and its quota with it, so that the rate stays what it is.
pub fn policy<'a>(limits: impl Iterator<Item = &'a Limit>) -> String {
    let item = |limit: &Limit| {
        let (per, window) = (limit.per.as_millis(), seconds(limit.per));
        let quota = u128::from(limit.requests) * u128::from(window) * 1000 / per.max(1);
        format!("\"{}\";q={quota};w={window}", limit.name)
    };
    limits.map(item).collect::<Vec<_>>().join(", ")
}

/// `RateLimit`: an item per limit, with what remains `r` and the seconds until more is there `t`; none where the bucket
/// is full.
pub fn state<'a>(decisions: impl Iterator<Item = (&'a Limit, &'a Decision)>) -> String {
    let item = |(limit, decision): (&Limit, &Decision)| match until_more(limit, decision) {
        Some(left) => format!("\"{}\";r={};t={}", limit.name, decision.remaining, seconds(left)),
        None => format!("\"{}\";r={}", limit.name, decision.remaining),
    };
    decisions.map(item).collect::<Vec<_>>().join(", ")
}

/// How long until one request more is left than now.
fn until_more(limit: &Limit, decision: &Decision) -> Option<Duration> {
    let missing = limit.burst.checked_sub(decision.remaining)?.checked_sub(1)?;
    let interval = limit.per.as_nanos() / u128::from(limit.requests.max(1));
    // What is missing beyond that one takes the rest of the time until the bucket is full.
    let rest = u64::try_from(interval * u128::from(missing)).unwrap_or(u64::MAX);
    let full = Duration::from_millis(decision.reset_after_ms.into());
    Some(full.saturating_sub(Duration::from_nanos(rest)).max(Duration::from_nanos(1)))
}

/// Seconds to wait until every refusing bucket holds enough, rounded up: who waits this long is let in.
pub fn retry_after<'a>(refused: impl Iterator<Item = &'a Decision>) -> u64 {
    let longest = refused.map(|decision| decision.retry_after_ms).max().unwrap_or(0);
    seconds(Duration::from_millis(longest.into())).max(1)
}

/// The refusal (RFC 6585 section 4, RFC 9457).
pub fn too_many(violated: &[&str], retry_after: u64) -> LocalResponse {
    let body = json!({
        "type": QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": format!("Try again in {retry_after} s."),
        "violated-policies": violated,
    });
    LocalResponse::new(429)
        .header("content-type", "application/problem+json")
        .header("retry-after", retry_after.to_string())
        .body(body.to_string())
}

fn seconds(of: Duration) -> u64 {
    u64::try_from(of.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Missing, Part};

    fn limit(name: &str, requests: u32, per_ms: u64) -> Limit {
        Limit {
            name: name.to_owned(),
            requests,
            per: Duration::from_millis(per_ms),
            burst: requests,
            by: vec![Part::Client],
            cost: 1,
            ipv6_prefix: 64,
            missing: Missing::Client,
        }
    }

    #[test]
    fn fields_are_lists_of_items_with_integer_parameters() {
        let limits = [limit("burst", 100, 60_000), limit("quick", 10, 500)];
        assert_eq!(policy(limits.iter()), r#""burst";q=100;w=60, "quick";q=20;w=1"#);
    }

    #[test]
    fn t_is_the_time_until_more_is_there_and_not_until_all_is() {
        let decision =
            |remaining, reset_after_ms| Decision { allowed: true, remaining, retry_after_ms: 0, reset_after_ms };
        let of = |limit: &Limit, decision: Decision| state([(limit, &decision)].into_iter());
        // A request per half an hour, two at once.
        let slow = limit("slow", 2, 3_600_000);
        assert_eq!(of(&slow, decision(1, 1_800_000)), r#""slow";r=1;t=1800"#);
        assert_eq!(of(&slow, decision(1, 600_001)), r#""slow";r=1;t=601"#);
        assert_eq!(of(&slow, decision(0, 3_600_000)), r#""slow";r=0;t=1800"#);
        assert_eq!(of(&slow, decision(0, 1_800_001)), r#""slow";r=0;t=1"#);
        assert_eq!(of(&slow, decision(2, 0)), r#""slow";r=2"#, "full");
        // An interval that is no whole number of nanoseconds.
        let odd = limit("odd", 7, 3_600_000);
        assert_eq!(of(&odd, decision(5, 1_028_572)), r#""odd";r=5;t=515"#);
        assert_eq!(of(&limit("fast", 100, 1000), decision(50, 500)), r#""fast";r=50;t=1"#);
    }

    #[test]
    fn waiting_is_rounded_up_and_at_least_a_second() {
        let decision = |retry_after_ms| Decision { allowed: false, remaining: 0, retry_after_ms, reset_after_ms: 0 };
        assert_eq!(retry_after([&decision(1), &decision(1001)].into_iter()), 2);
        assert_eq!(retry_after([&decision(0)].into_iter()), 1);
    }

    #[test]
    fn a_window_and_its_requests_make_the_rate() {
        assert_eq!(rate(&limit("l", 120, 60_000)).per_second, 2.0);
    }
}
