//! Which exchanges a log has: conditions, and a share that is chosen by the request id. The same id is chosen by every log and
//! every gateway that has it, so that what one of them has of an exchange is there in the others as well. Only trusted
//! proxies in front can choose an id; a trace id would let a stranger choose one that no log has.

use std::time::Duration;

use super::value::source;
use crate::exchange::Exchange;
use crate::model::{LogCondition, LogConditions, LogSample, LogSelection, RouteLog};

/// What conditions are about.
#[derive(Clone, Copy, Debug)]
struct Facts<'a> {
    id: &'a str,
    status: Option<u16>,
    failed: bool,
    total: Duration,
    route: Option<&'a str>,
    source: &'static str,
    sampled: bool,
}

impl<'a> Facts<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        Self {
            id: &exchange.id,
            status: exchange.response.as_ref().map(|response| response.status.as_u16()),
            failed: exchange.failure.is_some(),
            total: exchange.measures.total,
            route: exchange.route.as_deref(),
            source: source(exchange.source),
            sampled: exchange.trace.as_ref().is_some_and(|trace| trace.sampled),
        }
    }
}

/// Whether a log has this exchange, of a route that says this of logs.
pub(super) fn has(log: &LogSelection, route: Option<&RouteLog>, exchange: &Exchange) -> bool {
    let facts = || Facts::of(exchange);
    let (when, sample) = match route {
        Some(RouteLog::Off) => return false,
        Some(RouteLog::Only(route)) => (route.when.as_slice(), route.sample.as_ref().or(log.sample.as_ref())),
        None => ([].as_slice(), log.sample.as_ref()),
    };
    (log.when.is_empty() || any(&log.when, facts()))
        && (when.is_empty() || any(when, facts()))
        && sample.is_none_or(|sample| is_sampled(sample, facts()))
}

fn any(conditions: &[LogCondition], facts: Facts<'_>) -> bool {
    conditions.iter().any(|condition| match condition {
        LogCondition::Error => facts.failed || facts.status.is_some_and(|status| status >= 500),
        LogCondition::All(conditions) => all(conditions, facts),
    })
}

fn all(conditions: &LogConditions, facts: Facts<'_>) -> bool {
    let LogConditions { statuses, failed, slower_than, routes, sources, sampled } = conditions;
    let in_any = |ranges: &Vec<std::ops::RangeInclusive<u16>>| {
        facts.status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status)))
    };
    statuses.as_ref().is_none_or(in_any)
        && failed.is_none_or(|failed| failed == facts.failed)
        && slower_than.is_none_or(|bound| facts.total > bound)
        && routes.as_ref().is_none_or(|routes| routes.iter().any(|route| facts.route == Some(route)))
        && sources.as_ref().is_none_or(|sources| sources.contains(&facts.source))
        && sampled.is_none_or(|sampled| sampled == facts.sampled)
}

fn is_sampled(sample: &LogSample, facts: Facts<'_>) -> bool {
    parts_of_a_million(facts.id) < sample.per_million || any(&sample.always, facts)
}

/// Spreads ids evenly over 0 to 999,999, alike in all versions: FNV-1a, and the last steps of MurmurHash3, because the upper
/// bits count and FNV leaves those of similar ids alike.
fn parts_of_a_million(id: &str) -> u32 {
    let fnv = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let mixed = mixed ^ (mixed >> 33);
    // Less than a million, whatever the hash.
    ((u128::from(mixed) * 1_000_000) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Facts<'_> = Facts {
        id: "id-1",
        status: Some(200),
        failed: false,
        total: Duration::from_millis(5),
        route: Some("shop"),
        source: "upstream",
        sampled: false,
    };

    #[test]
    fn conditions_hold_together_and_apart() {
        let none = LogConditions::default;
        let cases = [
            (LogConditions { statuses: Some(vec![200..=299]), ..none() }, true),
            (LogConditions { statuses: Some(vec![404..=404, 500..=599]), ..none() }, false),
            (LogConditions { failed: Some(false), ..none() }, true),
            (LogConditions { failed: Some(true), ..none() }, false),
            (LogConditions { slower_than: Some(Duration::from_millis(4)), ..none() }, true),
            (LogConditions { slower_than: Some(Duration::from_millis(5)), ..none() }, false),
            (LogConditions { routes: Some(vec!["other".into(), "shop".into()]), ..none() }, true),
            (LogConditions { routes: Some(vec!["other".into()]), ..none() }, false),
            (LogConditions { sources: Some(vec!["upstream"]), ..none() }, true),
            (LogConditions { sources: Some(vec!["gateway", "none"]), ..none() }, false),
            (LogConditions { sampled: Some(false), ..none() }, true),
            (LogConditions { sampled: Some(true), ..none() }, false),
            (LogConditions { sources: Some(vec!["upstream"]), failed: Some(true), ..none() }, false),
        ];
        for (conditions, holds) in &cases {
            assert_eq!(all(conditions, OK), *holds, "{conditions:?}");
        }
        let list: Vec<_> = cases.into_iter().map(|(conditions, _)| LogCondition::All(conditions)).collect();
        assert!(any(&list, OK), "any is enough");
        let no_response = Facts { status: None, failed: true, ..OK };
        assert!(!all(&LogConditions { statuses: Some(vec![100..=599]), ..none() }, no_response));
        assert!(any(&[LogCondition::Error], no_response));
        assert!(any(&[LogCondition::Error], Facts { status: Some(503), ..OK }));
        assert!(!any(&[LogCondition::Error], Facts { status: Some(404), ..OK }));
    }

    #[test]
    fn a_share_is_a_share_of_ids_and_a_larger_one_has_those_of_a_smaller() {
        let ids: Vec<String> = (0..100_000).map(|number| format!("id-{number}")).collect();
        let chosen = |per_million| {
            let sample = LogSample { per_million, always: Vec::new() };
            ids.iter().filter(|id| is_sampled(&sample, Facts { id, ..OK })).collect::<Vec<_>>()
        };
        let (tenth, half) = (chosen(100_000), chosen(500_000));
        assert!((9_500..10_500).contains(&tenth.len()), "{}", tenth.len());
        assert!((49_000..51_000).contains(&half.len()), "{}", half.len());
        assert!(tenth.iter().all(|id| half.contains(id)));
        assert_eq!((chosen(0).len(), chosen(1_000_000).len()), (0, ids.len()));
    }

    #[test]
    fn what_is_always_logged_is_logged_beside_the_share() {
        let sample = LogSample { per_million: 0, always: vec![LogCondition::Error] };
        assert!(!is_sampled(&sample, OK));
        assert!(is_sampled(&sample, Facts { status: Some(500), ..OK }));
    }

    /// Other versions and other gateways choose the same.
    #[test]
    fn the_place_of_an_id_never_changes() {
        let places = ["", "id-1", "0123456789abcdef0123456789abcdef"].map(parts_of_a_million);
        assert_eq!(places, [936_769, 848_010, 151_689]);
    }
}
