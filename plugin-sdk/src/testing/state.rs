//! kv and counters of the test host: the gateway's rules over a virtual clock.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use plugin_rules::gcra::{self, MAX_CLAIMS, Tat};
use plugin_rules::kv::{self, MAX_ENTRY, kept_by};
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

impl State {
    pub(crate) fn get(&mut self, key: &str, now: Duration) -> Option<Entry> {
        let (entry, expires) = self.entries.get(&*kept_by(key))?;
        (*expires > millis(now)).then(|| entry.clone())
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8], ttl_ms: Option<u64>, now: Duration) -> Option<u64> {
        let key = kept_by(key);
        if kv::cost(&key, value.len()) > MAX_ENTRY {
            return None;
        }
        self.version += 1;
        let entry = Entry { value: value.to_vec(), version: self.version };
        self.entries.insert(key.into_owned(), (entry, kv::expires_ms(ttl_ms, millis(now))));
        Some(self.version)
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.entries.remove(&*kept_by(key));
    }

    pub(crate) fn swap(
        &mut self,
        key: &str,
        expect: Option<u64>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
        now: Duration,
    ) -> Result<Option<u64>, Option<Entry>> {
        if kv::cost(&kept_by(key), value.unwrap_or_default().len()) > MAX_ENTRY {
            return Ok(None);
        }
        let there = self.get(key, now);
        if there.as_ref().map(|entry| entry.version) != expect {
            return Err(there);
        }
        match value {
            Some(value) => Ok(self.put(key, value, ttl_ms, now)),
            None => {
                self.delete(key);
                Ok(Some(0))
            }
        }
    }

    pub(crate) fn try_take(&mut self, claims: &[Claim], now: Duration) -> Option<Vec<Decision>> {
        if claims.len() > MAX_CLAIMS {
            return None;
        }
        let keys: Vec<Cow<'_, str>> = claims.iter().map(|claim| kept_by(&claim.bucket)).collect();
        let mut names: Vec<&str> = keys.iter().map(|key| &**key).collect();
        names.sort_unstable();
        names.dedup();
        let mut buckets: Vec<Tat> =
            names.iter().map(|name| self.buckets.get(*name).copied().unwrap_or_default()).collect();
        let claims = claims.iter().zip(&keys).map(|(claim, key)| gcra::Claim {
            place: names.partition_point(|name| *name < &**key),
            cost: claim.cost,
            rate: claim.at.into(),
        });
        let decisions = gcra::take_all(&mut buckets, claims, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        for (name, bucket) in names.into_iter().zip(buckets) {
            self.buckets.insert(name.to_owned(), bucket);
        }
        Some(decisions.into_iter().map(Into::into).collect())
    }

    pub(crate) fn add(&mut self, key: &str, delta: i64, window_ms: u64, now: Duration) -> i64 {
        let now = millis(now);
        let window = self.windows.entry(kept_by(key).into_owned()).or_insert_with(|| Window::new(window_ms, now));
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
        let decisions = state.try_take(&claims, Duration::from_secs(5)).unwrap();
        assert!(decisions[0].allowed && !decisions[1].allowed);
        assert_eq!((decisions[0].remaining, decisions[1].remaining), (3, 1));
        assert_eq!(decisions[1].retry_after_ms, u32::MAX);
        assert_eq!(state.try_take(&[Claim::new("wide", 3, RATE)], Duration::from_secs(5)).unwrap()[0].remaining, 0);
    }

    #[test]
    fn entries_expire_and_swap_by_version() {
        let mut state = State::default();
        let at = Duration::from_secs;
        let version = state.swap("k", None, Some(b"a"), Some(1000), at(1)).unwrap();
        assert_eq!(state.swap("k", None, Some(b"b"), None, at(1)).unwrap_err().unwrap().value, b"a");
        assert!(state.swap("k", version, Some(b"b"), Some(1000), at(1)).is_ok());
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
    fn the_largest_answer_of_a_call_fits_and_what_is_too_large_leaves_what_was_there() {
        let (mut state, now) = (State::default(), Duration::from_secs(1));
        assert_eq!(state.put("k", &vec![1; plugin_rules::calls::MAX_BODY], None, now), Some(1));
        let large = vec![2; MAX_ENTRY];
        assert_eq!(state.put("k", &large, None, now), None);
        assert!(state.swap("k", Some(1), Some(&large), None, now).is_ok_and(|version| version.is_none()));
        assert_eq!(state.get("k", now).map(|entry| entry.value[0]), Some(1));
    }

    #[test]
    fn a_key_of_any_length_is_counted() {
        let (mut state, key) = (State::default(), "k".repeat(5000));
        for left in [2, 1, 0] {
            assert_eq!(
                state.try_take(&[Claim::new(&*key, 1, RATE)], Duration::from_secs(1)).unwrap()[0].remaining,
                left
            );
        }
        assert_eq!(state.add(&key, 2, 1000, Duration::from_secs(1)), 2);
        assert_eq!(state.add(&key, 2, 1000, Duration::from_secs(1)), 4);
    }
}
