//! The remote key set: fetched once for all workers, kept in `kv`, used while it is good and somewhat longer.
//!
//! Concurrent fetches are one (`single_flight`); whoever comes later finds the set in `kv`, under a key that names where
//! it came from. While the old keys do, one instance alone asks for new ones, and nobody else waits. An unknown `kid` may
//! cause a fetch, but no more often than every 30 seconds: clients choose it. After a failure nobody asks for a while,
//! longer each time; the old keys serve until `stale_for` is over.

use std::cell::RefCell;
use std::time::Duration;

use plugin_sdk::calls::{self, Answer};
use plugin_sdk::crypto::{Key, Signature};
use plugin_sdk::{kv, log, metrics};
use serde::{Deserialize, Serialize};

use crate::config::Jwks;
use crate::jwk;
use crate::key::LoadedKey;
use crate::token::{Invalid, Token};

/// Larger sets are refused: what `kv` takes is bounded too, and a set is parsed by every instance.
const MAX_SET: usize = 256 << 10;
/// Fetches for unknown keys are at least this far apart.
const REFETCH_MS: u64 = 30_000;
/// The pause after a failed fetch doubles from the one to the other.
const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 60_000;

/// The set as it lies in `kv`.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    fetched_at: u64,
    body: String,
}

/// Fetches that failed in a row.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Failures {
    count: u32,
    not_before: u64,
}

/// The keys of a set as this instance parsed them.
#[derive(Debug)]
struct Parsed {
    version: u64,
    fetched_at: u64,
    keys: Vec<LoadedKey>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token is at fault.
    Invalid(Invalid),
    /// There are no keys to check it with: nobody can say.
    NoKeys,
}

/// The keys of a remote set.
#[derive(Debug)]
pub struct KeySet {
    rules: Jwks,
    /// Names in `kv`. Entries that share their state, and the config before a reload, may have had other sets.
    set: String,
    failures: String,
    refresh: String,
    parsed: RefCell<Option<Parsed>>,
}

/// A fetch that may be made: no pause is on.
struct Attempt {
    failures: Failures,
    /// Of the entries as they were before it. Of all that share a flight, the first one to write is the one that counts.
    failures_version: Option<u64>,
    set_version: Option<u64>,
}

/// When a set may be used, and when another one is to be fetched. Pure.
fn is_fresh(rules: &Jwks, fetched_at: u64, now: u64) -> bool {
    now.saturating_sub(fetched_at) < rules.cache_for_ms
}

fn is_usable(rules: &Jwks, fetched_at: u64, now: u64) -> bool {
    now.saturating_sub(fetched_at) < rules.cache_for_ms.saturating_add(rules.stale_for_ms)
}

fn pause_ms(failures: u32) -> u64 {
    FIRST_PAUSE_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE_MS)
}

impl KeySet {
    /// The set at this place; nothing is fetched yet.
    pub fn new(rules: &Jwks) -> Self {
        let key = |what: &str| format!("{what} {}{}", rules.upstream, rules.path);
        Self {
            rules: rules.clone(),
            set: key("jwks"),
            failures: key("jwks-failures"),
            refresh: key("jwks-refresh"),
            parsed: RefCell::new(None),
        }
    }

    /// Whether the token's signature is by a key of the set.
    pub fn verify(&self, token: &Token<'_>, now: u64) -> Result<(), Refused> {
        let current = |set: &Parsed| has_key(&set.keys, token) && is_fresh(&self.rules, set.fetched_at, now);
        if !self.parsed.borrow().as_ref().is_some_and(current) {
            self.renew(token, now);
        }
        let parsed = self.parsed.borrow();
        let usable =
            parsed.as_ref().filter(|set| is_usable(&self.rules, set.fetched_at, now)).ok_or(Refused::NoKeys)?;
        verify(&usable.keys, token).map_err(Refused::Invalid)
    }

    /// Takes what another instance fetched in the meantime, and fetches where that doesn't do.
    fn renew(&self, token: &Token<'_>, now: u64) {
        let version = self.read();
        let (known, fetched_at) = match &*self.parsed.borrow() {
            Some(set) => (has_key(&set.keys, token), Some(set.fetched_at)),
            None => (false, None),
        };
        let fresh = fetched_at.is_some_and(|at| is_fresh(&self.rules, at, now));
        let usable = fetched_at.is_some_and(|at| is_usable(&self.rules, at, now));
        let due = fetched_at.is_none_or(|at| now.saturating_sub(at) >= REFETCH_MS);
        if fresh && (known || !due) {
            return;
        }
        let Some(attempt) = self.attempt(version, now) else { return };
        if !(known && usable) {
            return self.fetch(&attempt, now);
        }
        // The old keys do for this token. A lease, because whoever has it may be given up in the middle.
        let lease = self.rules.timeout + Duration::from_secs(1);
        if let Ok(version) = kv::compare_and_swap(&self.refresh, None, Some(b"1"), Some(lease)) {
            self.fetch(&attempt, now);
            // Another one's lease stays where it is: this one was over then.
            let _ = kv::compare_and_swap(&self.refresh, Some(version), None, None);
        }
    }

    /// Takes the set from `kv`, where it isn't the one that is parsed already; the version there.
    fn read(&self) -> Option<u64> {
        let entry = kv::get(&self.set)?;
        self.take(&entry);
        Some(entry.version)
    }

    fn take(&self, entry: &kv::Entry) {
        if self.parsed.borrow().as_ref().is_some_and(|parsed| parsed.version == entry.version) {
            return;
        }
        if let Ok(kept) = serde_json::from_slice::<Kept>(&entry.value) {
            self.parse(entry.version, kept.fetched_at, kept.body.as_bytes());
        }
    }

    fn parse(&self, version: u64, fetched_at: u64, body: &[u8]) -> bool {
        let Some(set) = jwk::parse_set(body) else { return false };
        let load = |key: jwk::Jwk| match Key::from_jwk(&key.json) {
            Ok(loaded) => Some(LoadedKey { kid: key.kid, algorithms: key.algorithms, key: loaded }),
            Err(error) => {
                log::warn!("a key of the JWKS is passed over: {error}");
                None
            }
        };
        let keys: Vec<LoadedKey> = set.into_iter().filter_map(load).collect();
        let any = !keys.is_empty();
        if any {
            *self.parsed.borrow_mut() = Some(Parsed { version, fetched_at, keys });
        }
        any
    }

    /// Leave to fetch, unless fetches failed just before.
    fn attempt(&self, set_version: Option<u64>, now: u64) -> Option<Attempt> {
        let entry = kv::get(&self.failures);
        let failures: Failures =
            entry.as_ref().and_then(|entry| serde_json::from_slice(&entry.value).ok()).unwrap_or_default();
        // A clock that was set back must not stop fetching for long.
        if now < failures.not_before && failures.not_before - now <= LONGEST_PAUSE_MS {
            return None;
        }
        Some(Attempt { failures, failures_version: entry.map(|entry| entry.version), set_version })
    }

    fn fetch(&self, attempt: &Attempt, now: u64) {
        let answer = calls::get(&self.rules.upstream, &self.rules.path)
            .header("accept", "application/jwk-set+json, application/json")
            .timeout(self.rules.timeout)
            .single_flight()
            .send();
        let usable = answer.map_err(|error| format!("{error:?}")).and_then(body).and_then(|body| {
            let parsed = self.parse(0, now, body.as_bytes());
            parsed.then_some(body).ok_or_else(|| "it is not a key set with a usable key".to_owned())
        });
        match usable {
            Ok(body) => self.keep(attempt, body, now),
            Err(problem) => self.pause(attempt, &problem, now),
        }
    }

    fn keep(&self, attempt: &Attempt, body: String, now: u64) {
        let ttl = Duration::from_millis(self.rules.cache_for_ms.saturating_add(self.rules.stale_for_ms));
        let Ok(value) = serde_json::to_vec(&Kept { fetched_at: now, body }) else { return };
        match kv::compare_and_swap(&self.set, attempt.set_version, Some(&value), Some(ttl)) {
            Ok(version) => {
                metrics::count("auth_jwks_fetches_total", &[("result", "ok")], 1);
                if let Some(parsed) = self.parsed.borrow_mut().as_mut() {
                    parsed.version = version;
                }
                if attempt.failures.count > 0 {
                    kv::delete(&self.failures);
                }
            }
            Err(there) => {
                if let Some(entry) = there {
                    self.take(&entry);
                }
            }
        }
    }

    fn pause(&self, attempt: &Attempt, problem: &str, now: u64) {
        let count = attempt.failures.count.saturating_add(1);
        let pause = pause_ms(count);
        let Ok(value) = serde_json::to_vec(&Failures { count, not_before: now.saturating_add(pause) }) else { return };
        let ttl = Duration::from_millis(2 * LONGEST_PAUSE_MS);
        if kv::compare_and_swap(&self.failures, attempt.failures_version, Some(&value), Some(ttl)).is_ok() {
            metrics::count("auth_jwks_fetches_total", &[("result", "failed")], 1);
            let Jwks { upstream, path, .. } = &self.rules;
            log::warn!("the JWKS at {upstream}{path} could not be fetched ({problem}); next try in {pause} ms");
        }
    }
}

/// The text of an answer that may hold a set.
fn body(answer: Answer) -> Result<String, String> {
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    if answer.body.len() > MAX_SET {
        return Err(format!("it is larger than {} KiB", MAX_SET >> 10));
    }
    String::from_utf8(answer.body).map_err(|_| "it is not text".to_owned())
}

fn has_key(keys: &[LoadedKey], token: &Token<'_>) -> bool {
    keys.iter().any(|key| jwk::matches(key.kid.as_deref(), &key.algorithms, token.kid.as_deref(), token.algorithm))
}

/// Whether the signature is by one of the keys. Without a `kid`, a few that fit are tried.
pub fn verify(keys: &[LoadedKey], token: &Token<'_>) -> Result<(), Invalid> {
    let using: Signature = token.algorithm.0;
    let fits =
        |key: &&LoadedKey| jwk::matches(key.kid.as_deref(), &key.algorithms, token.kid.as_deref(), token.algorithm);
    let mut tried = false;
    for key in keys.iter().filter(fits).take(8) {
        tried = true;
        if key.key.verify(using, token.signed.as_bytes(), &token.signature) {
            return Ok(());
        }
    }
    Err(if tried { Invalid::Signature } else { Invalid::UnknownKey })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!([1, 2, 3, 7, 100].map(pause_ms), [1000, 2000, 4000, 60_000, 60_000]);
    }

    #[test]
    fn a_set_is_fresh_then_usable_then_gone() {
        let timeout = Duration::from_secs(1);
        let rules =
            Jwks { upstream: "idp".to_owned(), path: "/".to_owned(), cache_for_ms: 10, stale_for_ms: 5, timeout };
        assert!(is_fresh(&rules, 100, 109) && !is_fresh(&rules, 100, 110));
        assert!(is_usable(&rules, 100, 114) && !is_usable(&rules, 100, 115));
    }
}
