//! What all instances know of a remote key set: it lies in the plugin's state, so that what one has learnt none has to
//! learn again. Entries that share their state, and the config before a reload, may have had other sets; so the names
//! there are those of one place.

use std::time::Duration;

use plugin_sdk::counters::{self, Claim, Rate};
use plugin_sdk::crypto::{self, Digest};
use plugin_sdk::encoding::hex;
use plugin_sdk::kv;
use serde::{Deserialize, Serialize};

use crate::config::Jwks;

/// How long it is remembered that a key was looked for, by a fetch, and not found. Clients choose what they ask for, so
/// this, and not they, decides how often the identity provider is asked.
const MISSED_FOR: Duration = Duration::from_secs(30);
/// Fetches before the set is due, because of a key that is not in it: four, and another one every 30 seconds.
const EARLY: Rate = Rate { burst: 4, per_second: 1.0 / 30.0 };
/// The pause after a failed fetch doubles from the one to the other.
const FIRST_PAUSE_MS: u64 = 1000;
const LONGEST_PAUSE_MS: u64 = 60_000;

/// A set as it lies there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// When, in milliseconds since 1970.
    pub(super) fetched_at: u64,
    /// Its usable keys.
    pub(super) body: String,
}

/// Fetches that failed in a row, as they lie there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    count: u32,
    not_before: u64,
}

/// The same, with the version there.
#[derive(Debug, Default)]
pub(super) struct Failures {
    noted: Noted,
    version: Option<u64>,
}

impl Failures {
    /// Whether the last fetch failed.
    pub(super) fn are_any(&self) -> bool {
        self.noted.count > 0
    }

    /// How much longer nobody asks, in milliseconds.
    pub(super) fn pause_left(&self, now: u64) -> Option<u64> {
        let left = self.noted.not_before.checked_sub(now).filter(|left| *left > 0)?;
        // A clock that was set back must not stop fetching for long.
        (left <= LONGEST_PAUSE_MS).then_some(left)
    }
}

/// The right to fetch: one has it at a time. It ends by itself where its owner is given up in the middle.
pub(super) struct Lease(u64);

/// The names of one place.
#[derive(Debug)]
pub(super) struct State {
    set: String,
    failures: String,
    lease: String,
    early: String,
    missed: String,
}

fn pause_ms(failures: u32) -> u64 {
    FIRST_PAUSE_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE_MS)
}

impl State {
    pub(super) fn of(rules: &Jwks) -> Self {
        // A path may be as long as a name, so its digest stands for it.
        let place = hex(&crypto::digest(Digest::Sha256, format!("{}{}", rules.upstream, rules.path).as_bytes()));
        let name = |what: &str| format!("jwks-{what} {place}");
        Self {
            set: name("set"),
            failures: name("failures"),
            lease: name("lease"),
            early: name("early"),
            missed: name("missed"),
        }
    }

    /// The set, and its version.
    pub(super) fn set(&self) -> Option<(Kept, u64)> {
        let entry = kv::get(&self.set)?;
        Some((serde_json::from_slice(&entry.value).ok()?, entry.version))
    }

    /// Puts a set there, in place of the one of this version; its version. None: another one was put there meanwhile.
    pub(super) fn keep(&self, kept: &Kept, instead_of: Option<u64>, ttl: Duration) -> Option<u64> {
        let value = serde_json::to_vec(kept).ok()?;
        kv::compare_and_swap(&self.set, instead_of, Some(&value), Some(ttl)).ok()
    }

    /// What failed last.
    pub(super) fn failures(&self) -> Failures {
        let Some(entry) = kv::get(&self.failures) else { return Failures::default() };
        let noted: Noted = serde_json::from_slice(&entry.value).unwrap_or_default();
        Failures { noted, version: Some(entry.version) }
    }

    /// A fetch has failed: nobody asks for a while, longer each time. How long, in milliseconds; none where another one of
    /// those that shared it has noted it.
    pub(super) fn failed(&self, before: &Failures, now: u64) -> Option<u64> {
        let count = before.noted.count.saturating_add(1);
        let pause = pause_ms(count);
        let value = serde_json::to_vec(&Noted { count, not_before: now.saturating_add(pause) }).ok()?;
        let ttl = Duration::from_millis(2 * LONGEST_PAUSE_MS);
        kv::compare_and_swap(&self.failures, before.version, Some(&value), Some(ttl)).ok().map(|_| pause)
    }

    /// A fetch has succeeded.
    pub(super) fn succeeded(&self) {
        kv::delete(&self.failures);
    }

    /// The right to fetch, unless another one has it.
    pub(super) fn lease(&self, length: Duration) -> Option<Lease> {
        kv::compare_and_swap(&self.lease, None, Some(b"1"), Some(length)).ok().map(Lease)
    }

    /// Whether somebody fetches just now.
    pub(super) fn is_leased(&self) -> bool {
        kv::get(&self.lease).is_some()
    }

    /// Gives it back. Another one's stays where it is: this one was over then.
    pub(super) fn give_back(&self, lease: Lease) {
        let _ = kv::compare_and_swap(&self.lease, Some(lease.0), None, None);
    }

    /// Whether the set may be fetched although it is not due yet.
    pub(super) fn may_be_early(&self) -> bool {
        counters::take(&[Claim::new(&*self.early, 1, EARLY)])
            .is_ok_and(|all| all.first().is_some_and(|decision| decision.allowed))
    }

    fn missed(&self, kid: Option<&str>) -> String {
        let kid = kid.map(|kid| hex(&crypto::digest(Digest::Sha256, kid.as_bytes())));
        format!("{} {}", self.missed, kid.unwrap_or_default())
    }

    /// Whether the set was fetched for this key just before, in vain.
    pub(super) fn was_missed(&self, kid: Option<&str>) -> bool {
        kv::get(&self.missed(kid)).is_some()
    }

    /// The set was fetched for this key in vain. No more of these are noted than may wait for a fetch.
    pub(super) fn miss(&self, kid: Option<&str>) {
        let _ = kv::set(&self.missed(kid), b"1", Some(MISSED_FOR));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!([1, 2, 3, 7, 100].map(pause_ms), [1000, 2000, 4000, 60_000, 60_000]);
    }
}
