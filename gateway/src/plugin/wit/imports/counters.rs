//! Interface `counters`, on the entry's namespace.

use std::borrow::Cow;
use std::time::Duration;

use plugin_rules::gcra::MAX_CLAIMS;
use plugin_rules::kv::kept_by;
use smallvec::SmallVec;

use crate::plugin::wit::bindings::edge::gateway::counters;
use crate::plugin::wit::state::HostState;
use crate::state::{self, Answer};

pub(super) fn decided(decisions: Vec<state::Decision>) -> Vec<counters::Decision> {
    let each = |decision: state::Decision| counters::Decision {
        allowed: decision.allowed,
        remaining: decision.remaining,
        retry_after_ms: decision.retry_after_ms,
        reset_after_ms: decision.reset_after_ms,
    };
    decisions.into_iter().map(each).collect()
}

impl HostState {
    pub(super) fn ask_take(&mut self, claims: &[counters::Claim]) -> wasmtime::Result<Answer<Vec<state::Decision>>> {
        let asked = self.ask_try_take(claims)?;
        asked.ok_or_else(|| wasmtime::Error::msg(format!("counters.take: at most {MAX_CLAIMS} claims at once")))
    }

    /// None where there are too many claims.
    pub(super) fn ask_try_take(
        &mut self,
        claims: &[counters::Claim],
    ) -> wasmtime::Result<Option<Answer<Vec<state::Decision>>>> {
        self.charge()?;
        if claims.len() > MAX_CLAIMS {
            return Ok(None);
        }
        let buckets: SmallVec<[Cow<'_, str>; 8]> = claims.iter().map(|claim| kept_by(&claim.bucket)).collect();
        let claims: SmallVec<[state::Claim<'_>; 8]> = claims
            .iter()
            .zip(&buckets)
            .map(|(claim, bucket)| state::Claim {
                bucket,
                cost: claim.cost,
                rate: state::Rate { burst: claim.at.burst, per_second: claim.at.per_second },
            })
            .collect();
        Ok(Some(self.context.namespace.take(&claims, self.context.state.now())))
    }

    pub(super) fn ask_add(&mut self, key: &str, delta: i64, window_ms: u64) -> wasmtime::Result<Answer<i64>> {
        self.charge()?;
        let window = Duration::from_millis(window_ms);
        Ok(self.context.namespace.add(&kept_by(key), delta, window, self.context.state.now()))
    }
}

impl counters::Host for HostState {
    fn take(&mut self, claims: Vec<counters::Claim>) -> wasmtime::Result<Vec<counters::Decision>> {
        Ok(decided(self.ask_take(&claims)?.now()?))
    }

    fn try_take(&mut self, claims: Vec<counters::Claim>) -> wasmtime::Result<Option<Vec<counters::Decision>>> {
        let Some(asked) = self.ask_try_take(&claims)? else { return Ok(None) };
        Ok(Some(decided(asked.now()?)))
    }

    fn add(&mut self, key: String, delta: i64, window_ms: u64) -> wasmtime::Result<i64> {
        Ok(self.ask_add(&key, delta, window_ms)?.now()?)
    }
}
