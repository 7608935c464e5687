//! The remote key set: fetched once for all workers, kept in `kv`, used while it is good and somewhat longer.
//!
//! Concurrent fetches are one (`single_flight`); whoever comes later finds the set in `kv`. An unknown `kid` may cause a
//! fetch, but no more often than every 30 seconds: clients choose it. After a failure nobody asks for a while, longer
//! each time; the old keys serve until `stale_for` is over.

use std::cell::RefCell;
use std::time::Duration;

use plugin_sdk::crypto::{Key, Signature};
use plugin_sdk::{calls, kv, log, metrics};
use serde::{Deserialize, Serialize};

use crate::config::{Jwks, LoadedKey};
use crate::jwk;
use crate::token::{Invalid, Token};

const SET: &str = "jwks";
const FAILURES: &str = "jwks-failures";
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
#[derive(Debug, Default)]
pub struct KeySet(RefCell<Option<Parsed>>);

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
    /// Whether the token's signature is by a key of the set.
    pub fn verify(&self, rules: &Jwks, token: &Token<'_>, now: u64) -> Result<(), Refused> {
        let known = |parsed: &Option<Parsed>| parsed.as_ref().is_some_and(|parsed| has_key(&parsed.keys, token));
        let age_allows =
            |parsed: &Option<Parsed>| parsed.as_ref().is_some_and(|set| is_fresh(rules, set.fetched_at, now));
        if !(known(&self.0.borrow()) && age_allows(&self.0.borrow())) {
            // Another worker may have fetched in the meantime.
            self.read();
            let (known, fresh) = (known(&self.0.borrow()), age_allows(&self.0.borrow()));
            let fetched_at = self.0.borrow().as_ref().map(|set| set.fetched_at);
            let due = fetched_at.is_none_or(|at| now.saturating_sub(at) >= REFETCH_MS);
            if !fresh || (!known && due) {
                self.fetch(rules, now);
            }
        }
        let parsed = self.0.borrow();
        let usable = parsed.as_ref().filter(|set| is_usable(rules, set.fetched_at, now)).ok_or(Refused::NoKeys)?;
        verify(&usable.keys, token).map_err(Refused::Invalid)
    }

    /// Takes the set from `kv`, where it isn't the one that is parsed already.
    fn read(&self) {
        let Some(entry) = kv::get(SET) else { return };
        if self.0.borrow().as_ref().is_some_and(|parsed| parsed.version == entry.version) {
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
            *self.0.borrow_mut() = Some(Parsed { version, fetched_at, keys });
        }
        any
    }

    fn fetch(&self, rules: &Jwks, now: u64) {
        let failures: Failures =
            kv::get(FAILURES).and_then(|entry| serde_json::from_slice(&entry.value).ok()).unwrap_or_default();
        // A clock that was set back must not stop fetching for long.
        if now < failures.not_before && failures.not_before - now <= LONGEST_PAUSE_MS {
            return;
        }
        let answer = calls::get(&rules.upstream, &rules.path)
            .header("accept", "application/jwk-set+json, application/json")
            .timeout(rules.timeout)
            .single_flight()
            .send();
        let problem = match answer {
            Ok(answer) if answer.status == 200 => {
                let body = String::from_utf8(answer.body).unwrap_or_default();
                if self.parse(0, now, body.as_bytes()) {
                    self.keep(rules, now, body, failures.count > 0);
                    return;
                }
                "it is not a key set with a usable key".to_owned()
            }
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => format!("{error:?}"),
        };
        metrics::count("auth_jwks_fetches_total", &[("result", "failed")], 1);
        let count = failures.count.saturating_add(1);
        let pause = pause_ms(count);
        log::warn!(
            "the JWKS at {}{} could not be fetched ({problem}); next try in {pause} ms",
            rules.upstream,
            rules.path
        );
        if let Ok(value) = serde_json::to_vec(&Failures { count, not_before: now.saturating_add(pause) }) {
            kv::set(FAILURES, &value, Some(Duration::from_millis(2 * LONGEST_PAUSE_MS)));
        }
    }

    fn keep(&self, rules: &Jwks, now: u64, body: String, had_failed: bool) {
        metrics::count("auth_jwks_fetches_total", &[("result", "ok")], 1);
        let ttl = Duration::from_millis(rules.cache_for_ms.saturating_add(rules.stale_for_ms));
        if let Ok(value) = serde_json::to_vec(&Kept { fetched_at: now, body }) {
            let version = kv::set(SET, &value, Some(ttl));
            if let Some(parsed) = self.0.borrow_mut().as_mut() {
                parsed.version = version;
            }
        }
        if had_failed {
            kv::delete(FAILURES);
        }
    }
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
