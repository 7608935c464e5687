//! kv and counters of the test host: the gateway's rules over a virtual clock.

use std::collections::HashMap;
use std::time::Duration;

use plugin_rules::gcra::{self, MAX_CLAIMS, Tat};
use plugin_rules::kv::{self, MAX_ENTRY, MAX_KEY};
use plugin_rules::window::Window;

use crate::bindings::edge::gateway::counters::{Claim, Decision};
use crate::bindings::edge::gateway::kv::Entry;

#[derive(Default)]
pub(crate) struct State {
    /// With the millisecond from which each is gone.
    entries: HashMap<String, (Entry, u64)>,
    version: u64,
    buckets: HashMap<String, Tat>,
    windows: HashMap<String, Window>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The gateway ends a plugin that names something like this.
fn check_key(key: &str) {
    assert!(kv::is_key(key), "a key of at most {MAX_KEY} bytes: {} bytes", key.len());
}

fn check_entry(key: &str, value: &[u8]) {
    let size = kv::cost(key, value.len());
    assert!(size <= MAX_ENTRY, "a kv entry of {size} bytes exceeds the limit of {MAX_ENTRY} bytes");
}

impl State {
    pub(crate) fn get(&mut self, key: &str, now: Duration) -> Option<Entry> {
        check_key(key);
        let (entry, expires) = self.entries.get(key)?;
        (*expires > millis(now)).then(|| entry.clone())
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>, now: Duration) -> u64 {
        check_key(key);
        check_entry(key, value);
        self.version += 1;
        let entry = Entry { value: value.to_vec(), version: self.version };
        self.entries.insert(key.to_owned(), (entry, kv::expires_ms(ttl_ms, millis(now))));
        self.version
    }

    pub(crate) fn delete(&mut self, key: &str) {
        check_key(key);
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
        check_entry(key, value.unwrap_or_default());
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
        assert!(claims.len() <= MAX_CLAIMS, "counters.take: at most {MAX_CLAIMS} claims at once");
        claims.iter().for_each(|claim| check_key(&claim.bucket));
        let mut names: Vec<&str> = claims.iter().map(|claim| claim.bucket.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut buckets: Vec<Tat> =
            names.iter().map(|name| self.buckets.get(*name).copied().unwrap_or_default()).collect();
        let claims = claims.iter().map(|claim| gcra::Claim {
            place: names.partition_point(|name| **name < *claim.bucket),
            cost: claim.cost,
            rate: claim.at.into(),
        });
        let decisions = gcra::take_all(&mut buckets, claims, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        for (name, bucket) in names.into_iter().zip(buckets) {
            self.buckets.insert(name.to_owned(), bucket);
        }
        decisions.into_iter().map(Into::into).collect()
    }

    pub(crate) fn add(&mut self, key: &str, delta: i64, window_ms: u64, now: Duration) -> i64 {
        check_key(key);
        let now = millis(now);
        let window = self.windows.entry(key.to_owned()).or_insert_with(|| Window::new(window_ms, now));
        // Another window for the same key starts over.
        if !window.is_of(window_ms) {
            *window = Window::new(window_ms, now);
        }
        window.add(delta, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::edge::gateway::counters::Rate;

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

    #[test]
    #[should_panic(expected = "a key of at most 1024 bytes")]
    fn a_key_that_ends_the_plugin_in_the_gateway_ends_the_test() {
        State::default().set(&"k".repeat(MAX_KEY + 1), b"", None, Duration::from_secs(1));
    }
}
