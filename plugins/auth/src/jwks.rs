//! The remote key set: fetched once for all workers, kept in the plugin's state, used while it is good and somewhat longer.
//!
//! One instance at a time fetches. Who can't go on without the answer waits for it, as many as the host lets wait; with a
//! key that is known nobody waits, but for the one who renews a set that is due. What was asked for in vain, a key or the
//! whole set, is not asked for again for a while (see [`kept`]).

mod kept;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plugin_sdk::calls::{self, Answer};
use plugin_sdk::{log, metrics, time};

use crate::config::Jwks;
use crate::jwk::{self, MAX_KEYS};
use crate::key::{self, LoadedKey, candidates};
use crate::token::{Invalid, Token};
use kept::{Failures, Kept, State};

/// Larger answers are refused: reading one has to fit into the CPU time of a call.
const MAX_ANSWER: usize = 512 << 10;

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
    /// There are no keys to check it with: nobody can say. After so many milliseconds it is worth another try.
    NoKeys(u64),
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    /// With a set, which is the one of this instance now.
    Set,
    /// With none; or the gateway itself had no room for it.
    Nothing,
    /// It was not made: it would come too soon.
    TooSoon,
}

/// The keys of a remote set.
#[derive(Debug)]
pub struct KeySet {
    rules: Jwks,
    state: State,
    /// Only to be faster: what all instances go by is the state.
    parsed: Mutex<Option<Parsed>>,
}

/// When a set may be used, and when another one is to be fetched. Pure.
fn is_fresh(rules: &Jwks, fetched_at: u64, now: u64) -> bool {
    now.saturating_sub(fetched_at) < rules.cache_for_ms
}

fn is_usable(rules: &Jwks, fetched_at: u64, now: u64) -> bool {
    now.saturating_sub(fetched_at) < rules.cache_for_ms.saturating_add(rules.stale_for_ms)
}

impl KeySet {
    /// The set at this place; nothing is fetched yet.
    pub fn new(rules: &Jwks) -> Self {
        Self { rules: rules.clone(), state: State::of(rules), parsed: Mutex::new(None) }
    }

    fn parsed(&self) -> MutexGuard<'_, Option<Parsed>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token's signature is by a key of the set. `plausible` says what is wrong with the token apart from that:
    /// for one that can't pass anyway, nothing is fetched and nobody waits.
    pub fn verify(&self, token: &Token<'_>, plausible: impl Fn() -> Result<(), Invalid>) -> Result<(), Refused> {
        if self.is_fresh() && self.check(token) == Some(Ok(())) {
            return Ok(());
        }
        // What another instance fetched in the meantime.
        let version = self.read();
        let fetched = match self.check(token) {
            Some(Ok(())) if self.is_fresh() => return Ok(()),
            Some(Ok(())) => {
                self.renew(version);
                return self.judge(token, Fetched::Set);
            }
            Some(Err(invalid)) => {
                plausible().map_err(|_| Refused::Invalid(invalid))?;
                self.look_for(token, version)
            }
            None => {
                plausible().map_err(Refused::Invalid)?;
                self.look_for(token, version)
            }
        };
        if fetched == Fetched::Set && self.check(token).is_some_and(|checked| checked.is_err()) {
            self.state.miss(token.kid.as_deref());
        }
        self.judge(token, fetched)
    }

    /// The last word.
    fn judge(&self, token: &Token<'_>, fetched: Fetched) -> Result<(), Refused> {
        match (self.check(token), fetched) {
            (Some(Ok(())), _) => Ok(()),
            // Whether there is such a key nobody can say just now.
            (None, _) | (Some(Err(Invalid::UnknownKey)), Fetched::Nothing) => {
                Err(Refused::NoKeys(self.state.failures().pause_left(time::unix_ms()).unwrap_or(1000)))
            }
            (Some(Err(invalid)), _) => Err(Refused::Invalid(invalid)),
        }
    }

    /// Whether the signature holds by the set of this instance, where that may be used.
    fn check(&self, token: &Token<'_>) -> Option<Result<(), Invalid>> {
        let parsed = self.parsed();
        let usable = parsed.as_ref().filter(|set| is_usable(&self.rules, set.fetched_at, time::unix_ms()))?;
        Some(key::verify(&usable.keys, token))
    }

    fn is_fresh(&self) -> bool {
        let now = time::unix_ms();
        self.parsed().as_ref().is_some_and(|set| is_fresh(&self.rules, set.fetched_at, now))
    }

    /// The set is due, but does for now: one fetches, and the others go on with what there is.
    fn renew(&self, version: Option<u64>) {
        let failures = self.state.failures();
        if failures.pause_left(time::unix_ms()).is_some() {
            return;
        }
        if let Some(lease) = self.state.lease(self.lease_length()) {
            self.fetch(version, &failures, false);
            self.state.give_back(lease);
        }
    }

    /// There is no set, or none that will do for this token: one fetches, and the others wait for it.
    fn look_for(&self, token: &Token<'_>, version: Option<u64>) -> Fetched {
        let failures = self.state.failures();
        if failures.pause_left(time::unix_ms()).is_some() {
            return Fetched::Nothing;
        }
        let is_early = self.is_fresh();
        if is_early {
            // Leave is asked for before the lease: who finds a lease may take it that a fetch is made.
            if self.state.was_missed(token.kid.as_deref()) {
                return Fetched::TooSoon;
            }
            if !self.state.is_leased() && !self.state.may_be_early() {
                // What used up the leave may have failed since the look above: then nobody knows whether there is such a key.
                return if self.state.failures().are_any() { Fetched::Nothing } else { Fetched::TooSoon };
            }
        }
        match self.state.lease(self.lease_length()) {
            Some(lease) => {
                let fetched = self.fetch(version, &failures, is_early);
                self.state.give_back(lease);
                fetched
            }
            None => self.fetch(version, &failures, false),
        }
    }

    fn lease_length(&self) -> Duration {
        self.rules.timeout + Duration::from_secs(1)
    }

    /// Takes the set from the state, where it isn't the one that is parsed already; the version there.
    fn read(&self) -> Option<u64> {
        let (kept, version) = self.state.set()?;
        if self.parsed().as_ref().is_none_or(|parsed| parsed.version != version) {
            self.parse(version, kept.fetched_at, kept.body.as_bytes());
        }
        Some(version)
    }

    /// Makes it the set of this instance; what is to be kept of it. None: it has no usable key.
    fn parse(&self, version: u64, fetched_at: u64, body: &[u8]) -> Option<String> {
        let set = jwk::parse_set(body)?;
        let kept = jwk::write_set(&set.keys);
        if version == 0 {
            report(&set);
        }
        let keys = set.keys.into_iter().map(LoadedKey::of_set).collect();
        *self.parsed() = Some(Parsed { version, fetched_at, keys });
        Some(kept)
    }

    /// Fetches, or shares the fetch that is under way. `failures` are those before it. `anew`: because of a key that is not in
    /// the set which was fetched last.
    fn fetch(&self, version: Option<u64>, failures: &Failures, anew: bool) -> Fetched {
        let mut call = calls::get(&self.rules.upstream, &self.rules.path)
            .header("accept", "application/jwk-set+json, application/json")
            .timeout(self.rules.timeout)
            .single_flight();
        if anew {
            // Neither the host's answer of just before nor one of a cache on the way.
            call = call.header("cache-control", "no-cache");
        }
        let answer = call.send();
        // Waiting has taken time.
        let now = time::unix_ms();
        // What the gateway says to those whom it doesn't let wait tells nothing of the identity provider, whoever asks; nor is
        // a pause due, which would be one of all workers.
        let is_refused = matches!(answer, Err(calls::Error::Connect)) && calls::was_refused_here();
        let usable = answer.map_err(|error| error.name().to_owned()).and_then(body).and_then(|body| {
            self.parse(0, now, &body).ok_or_else(|| "it is not a key set with a usable key".to_owned())
        });
        match usable {
            Ok(body) => {
                self.keep(version, Kept { fetched_at: now, body });
                Fetched::Set
            }
            Err(_) if is_refused => Fetched::Nothing,
            Err(problem) => {
                if let Some(pause) = self.state.failed(failures, now) {
                    metrics::count("auth_jwks_fetches_total", &[("result", "failed")], 1);
                    let Jwks { upstream, path, .. } = &self.rules;
                    log::warn!("the JWKS at {upstream}{path} could not be fetched ({problem}); next try in {pause} ms");
                }
                Fetched::Nothing
            }
        }
    }

    /// Of all that share a fetch, the first one to write is the one that counts.
    fn keep(&self, version: Option<u64>, kept: Kept) {
        let ttl = Duration::from_millis(self.rules.cache_for_ms.saturating_add(self.rules.stale_for_ms));
        match self.state.keep(&kept, version, ttl) {
            Some(version) => {
                metrics::count("auth_jwks_fetches_total", &[("result", "ok")], 1);
                if let Some(parsed) = self.parsed().as_mut() {
                    parsed.version = version;
                }
                self.state.succeeded();
            }
            None => drop(self.read()),
        }
    }
}

/// What the operator of the identity provider should know of a fetched set.
fn report(set: &jwk::Set) {
    if set.left_out > 0 {
        log::warn!("the JWKS has more than {MAX_KEYS} usable keys; {} are left out", set.left_out);
    }
    for key in &set.keys {
        let Some(&algorithm) = key.algorithms.first() else { continue };
        let alike =
            set.keys.iter().filter(|other| other.kid.is_none() && other.algorithms.contains(&algorithm)).count();
        if alike > candidates(algorithm) {
            let most = candidates(algorithm);
            log::warn!("the JWKS has {alike} keys of one algorithm without a `kid`; tokens are tried against {most}");
            return;
        }
    }
}

/// An answer that may hold a set, whatever its content type says. A redirect is not followed: it would lead to a place that
/// the operator did not name.
fn body(answer: Answer) -> Result<Vec<u8>, String> {
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    if answer.body.len() > MAX_ANSWER {
        return Err(format!("it is larger than {} KiB", MAX_ANSWER >> 10));
    }
    Ok(answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_fresh_then_usable_then_gone() {
        let timeout = Duration::from_secs(1);
        let rules =
            Jwks { upstream: "idp".to_owned(), path: "/".to_owned(), cache_for_ms: 10, stale_for_ms: 5, timeout };
        assert!(is_fresh(&rules, 100, 109) && !is_fresh(&rules, 100, 110));
        assert!(is_usable(&rules, 100, 114) && !is_usable(&rules, 100, 115));
    }
}
