//! The one breaker of all workers: an entry in `kv`, changed by compare-and-swap.
//!
//! A request that a closed breaker lets pass only reads; its report writes the counts. Under contention a change is
//! tried again; a change that lost every round is given up: a probe is then not admitted, a report isn't counted.

use plugin_sdk::kv::{self, SwapError};
use plugin_sdk::prelude::Exchange;
use plugin_sdk::{log, metrics, random, time};

use crate::breaker::{Admission, Body, Breaker, Outcome, Policy, StateName, Ticket};

const KEY: &str = "breaker";
const ROUNDS: usize = 64;

/// Asks whether a request may pass.
pub fn admit(exchange: &Exchange, policy: &Policy, body: Body) -> (Admission, StateName) {
    match change(exchange, |breaker, now| breaker.admit(policy, now, body, random::u64)) {
        (result, Some(state)) => (result, state),
        // Nobody else knows of this admission, so it would not be one of the probes that are counted.
        (_, None) => (Admission::Reject { retry_after_ms: 1000 }, StateName::HalfOpen),
    }
}

/// Tells how an admitted request went; the state after it, `None` where it could not be counted.
pub fn report(exchange: &Exchange, policy: &Policy, ticket: Ticket, outcome: Outcome) -> Option<StateName> {
    change(exchange, |breaker, now| breaker.report(policy, now, ticket, outcome)).1
}

/// The route, as a label.
pub fn route(exchange: &Exchange) -> String {
    exchange.route().unwrap_or_default()
}

/// The result and the state after it; `None` for a state that could not be written.
fn change<R>(exchange: &Exchange, work: impl Fn(&mut Breaker, u64) -> R) -> (R, Option<StateName>) {
    let mut entry = kv::get(KEY);
    let mut round = 0;
    loop {
        // Read after the entry, in each round: what another worker wrote into it then lies in the past.
        let now = time::unix_ms();
        // An entry of another shape is one of another version of this plugin: begin anew.
        let before = entry.as_ref().and_then(|entry| serde_json::from_slice::<Breaker>(&entry.value).ok());
        let mut after = before.clone().unwrap_or_else(|| Breaker::new(now));
        let from = after.state();
        let result = work(&mut after, now);
        let to = after.state();
        if before.as_ref() == Some(&after) {
            return (result, Some(to));
        }
        let Ok(value) = serde_json::to_vec(&after) else { return (result, Some(to)) };
        match kv::compare_and_swap(KEY, entry.as_ref().map(|entry| entry.version), Some(&value), None) {
            Ok(_) => {
                if from != to {
                    let labels = [("route", &*route(exchange)), ("to", to.as_str())];
                    metrics::count("circuit_breaker_state_changes_total", &labels, 1);
                    log::info!("the circuit breaker is {} now; it was {}", to.as_str(), from.as_str());
                }
                return (result, Some(to));
            }
            Err(SwapError::Changed(there)) => entry = there,
            Err(SwapError::TooLarge) => return (result, None),
        }
        round += 1;
        if round == ROUNDS {
            metrics::count("circuit_breaker_contended_total", &[("route", &*route(exchange))], 1);
            return (result, None);
        }
    }
}
