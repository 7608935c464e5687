//! kv and counters of the test host, with the gateway's semantics over a virtual clock.

use std::collections::HashMap;
use std::time::Duration;

use crate::bindings::edge::gateway::counters::{Claim, Decision, Rate};
use crate::bindings::edge::gateway::kv::Entry;

/// Slots of a window: a sum forgets in steps of a 16th of it, as the gateway's does.
const SLOTS: u64 = 16;

#[derive(Default)]
pub(crate) struct State {
    entries: HashMap<String, (Entry, Option<Duration>)>,
    version: u64,
    /// Theoretical arrival times in nanoseconds.
    buckets: HashMap<String, u128>,
    windows: HashMap<String, (u64, Vec<(u64, i64)>)>,
}

impl State {
    pub(crate) fn get(&mut self, key: &str, now: Duration) -> Option<Entry> {
        let (entry, expires) = self.entries.get(key)?;
        expires.is_none_or(|expires| now < expires).then(|| entry.clone())
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>, now: Duration) -> u64 {
        self.version += 1;
        let entry = Entry { value: value.to_vec(), version: self.version };
        let expires = ttl_ms.and_then(|ttl| now.checked_add(Duration::from_millis(ttl)));
        self.entries.insert(key.to_owned(), (entry, expires));
        self.version
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.entries.remove(key);
    }

    pub(crate) fn compare_and_swap(
        &mut self,
        key: &str,
        expect: Option<u64>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
        now: Duration,
    ) -> Result<u64, Option<Entry>> {
        let there = self.get(key, now);
        if there.as_ref().map(|entry| entry.version) != expect {
            return Err(there);
        }
        match value {
            Some(value) => Ok(self.set(key, value, ttl_ms, now)),
            None => {
                self.delete(key);
                Ok(0)
            }
        }
    }

    pub(crate) fn take(&mut self, claims: &[Claim], now: Duration) -> Vec<Decision> {
        let now = now.as_nanos();
        let mut after = self.buckets.clone();
        let decide = |buckets: &mut HashMap<String, u128>, look: bool| -> Vec<Decision> {
            let claims = claims.iter();
            claims
                .map(|claim| {
                    let tat = buckets.entry(claim.bucket.clone()).or_default();
                    gcra(tat, claim.at, if look { 0 } else { claim.cost }, now)
                })
                .collect()
        };
        let mut decisions = decide(&mut after, false);
        if decisions.iter().all(|decision| decision.allowed) {
            self.buckets = after;
        } else {
            for (decision, untouched) in decisions.iter_mut().zip(decide(&mut self.buckets, true)) {
                decision.remaining = untouched.remaining;
                decision.reset_after_ms = untouched.reset_after_ms;
            }
        }
        decisions
    }

    pub(crate) fn add(&mut self, key: &str, delta: i64, window_ms: u64, now: Duration) -> i64 {
        let width = window_ms.div_ceil(SLOTS).max(1);
        let slot = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / width;
        let (used, slots) = self.windows.entry(key.to_owned()).or_default();
        // Another window for the same key starts over.
        if std::mem::replace(used, width) != width {
            slots.clear();
        }
        slots.retain(|(at, _)| at + SLOTS > slot);
        match slots.iter_mut().find(|(at, _)| *at == slot) {
            Some((_, sum)) => *sum = sum.saturating_add(delta),
            None => slots.push((slot, delta)),
        }
        slots.iter().fold(0, |sum, (_, add)| sum.saturating_add(*add))
    }
}

/// The generic cell rate algorithm, rounded as the gateway rounds: never more than the rate, waits long enough.
fn gcra(tat: &mut u128, rate: Rate, cost: u32, now: u128) -> Decision {
    let millis = |nanos: u128| u32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u32::MAX);
    let interval = match rate.per_second > 0.0 {
        true => u128::from(((1e9 / rate.per_second).ceil() as u64).max(1)),
        false => u128::from(u64::MAX),
    };
    let capacity = interval * u128::from(rate.burst);
    let after = (*tat).max(now) + interval * u128::from(cost);
    let allowed = after - now <= capacity;
    if allowed {
        *tat = after;
    }
    let debt = (*tat).max(now) - now;
    Decision {
        allowed,
        remaining: u32::try_from(capacity.saturating_sub(debt) / interval).unwrap_or(u32::MAX),
        retry_after_ms: match allowed {
            true => 0,
            false if cost > rate.burst => u32::MAX,
            false => millis(after - now - capacity),
        },
        reset_after_ms: millis(debt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 2.0 };

    #[test]
    fn takes_all_or_nothing() {
        let mut state = State::default();
        let claims = [Claim::new("wide", 2, RATE), Claim::new("narrow", 2, Rate { burst: 1, per_second: 1.0 })];
        let decisions = state.take(&claims, Duration::from_secs(5));
        assert!(decisions[0].allowed && !decisions[1].allowed);
        assert_eq!((decisions[0].remaining, decisions[1].remaining), (3, 1));
        assert_eq!(decisions[1].retry_after_ms, u32::MAX);
        assert_eq!(state.take(&[Claim::new("wide", 3, RATE)], Duration::from_secs(5))[0].remaining, 0);
    }

    #[test]
    fn a_bucket_refills_at_its_rate() {
        let mut state = State::default();
        let now = Duration::from_secs(5);
        assert!(state.take(&[Claim::new("b", 3, RATE)], now)[0].allowed);
        let refused = state.take(&[Claim::new("b", 1, RATE)], now)[0];
        assert_eq!((refused.allowed, refused.retry_after_ms, refused.reset_after_ms), (false, 500, 1500));
        assert!(state.take(&[Claim::new("b", 1, RATE)], now + Duration::from_millis(500))[0].allowed);
    }

    #[test]
    fn entries_expire_and_swap_by_version() {
        let mut state = State::default();
        let at = Duration::from_secs;
        let version = state.compare_and_swap("k", None, Some(b"a"), Some(1000), at(1)).unwrap();
        assert_eq!(state.compare_and_swap("k", None, Some(b"b"), None, at(1)).unwrap_err().unwrap().value, b"a");
        assert!(state.compare_and_swap("k", Some(version), Some(b"b"), Some(1000), at(1)).is_ok());
        assert!(state.get("k", at(2)).is_none());
    }

    #[test]
    fn a_window_forgets() {
        let mut state = State::default();
        assert_eq!(state.add("w", 2, 16_000, Duration::from_secs(1)), 2);
        assert_eq!(state.add("w", 3, 16_000, Duration::from_secs(16)), 5);
        assert_eq!(state.add("w", 0, 16_000, Duration::from_secs(17)), 3);
    }
}
