//! Which endpoint is next: pure selection, a file per policy. A worker balances for itself.

mod candidates;
mod least_request;
mod round_robin;

pub(super) use candidates::{Candidates, Choice};
use round_robin::RoundRobin;

use crate::model::LoadBalancing;

/// The policy with what it remembers from one choice to the next.
#[derive(Debug)]
pub(super) enum Balancer {
    RoundRobin(RoundRobin),
    LeastRequest,
}

impl Balancer {
    /// A balancer for these endpoints, as long as there are no others.
    pub(super) fn new(policy: LoadBalancing, candidates: &impl Candidates, random: &mut fastrand::Rng) -> Self {
        match policy {
            LoadBalancing::RoundRobin => Self::RoundRobin(RoundRobin::new(candidates, random)),
            LoadBalancing::LeastRequest => Self::LeastRequest,
        }
    }

    /// The index of the endpoint to use, or `None` when none is usable.
    pub(super) fn choose(&mut self, candidates: &impl Candidates, choice: &mut Choice<'_>) -> Option<usize> {
        match self {
            Self::RoundRobin(policy) => policy.choose(candidates),
            Self::LeastRequest => least_request::choose(candidates, choice),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct One {
        weight: u32,
        in_flight: u32,
        usable: bool,
    }

    impl Candidates for Vec<One> {
        fn count(&self) -> usize {
            self.len()
        }
        fn weight(&self, index: usize) -> u32 {
            self[index].weight
        }
        fn in_flight(&self, index: usize) -> u32 {
            self[index].in_flight
        }
        fn usable(&self, index: usize) -> bool {
            self[index].usable
        }
        fn address(&self, index: usize) -> SocketAddr {
            SocketAddr::from(([192, 0, 2, 1], index as u16))
        }
        fn zone(&self, _: usize) -> Option<&str> {
            None
        }
        fn latency(&self, _: usize) -> Option<Duration> {
            None
        }
    }

    fn idle(weights: &[u32]) -> Vec<One> {
        weights.iter().map(|weight| One { weight: *weight, in_flight: 0, usable: true }).collect()
    }

    fn choose(balancer: &mut Balancer, candidates: &Vec<One>, random: &mut fastrand::Rng) -> Option<usize> {
        balancer.choose(candidates, &mut Choice { key: None, zone: None, random })
    }

    fn counts(policy: LoadBalancing, candidates: &Vec<One>, rounds: usize) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut balancer = Balancer::new(policy, candidates, &mut random);
        let mut counts = vec![0; candidates.len()];
        for _ in 0..rounds {
            counts[choose(&mut balancer, candidates, &mut random).expect("one is usable")] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_even_and_skips() {
        assert_eq!(counts(LoadBalancing::RoundRobin, &idle(&[1, 1, 1]), 9), [3, 3, 3]);
        let mut candidates = idle(&[2, 2, 2]);
        candidates[1].usable = false;
        assert_eq!(counts(LoadBalancing::RoundRobin, &candidates, 8), [4, 0, 4]);
    }

    #[test]
    fn weights_are_exact() {
        assert_eq!(counts(LoadBalancing::RoundRobin, &idle(&[5, 1, 1]), 70), [50, 10, 10]);
    }

    #[test]
    fn least_request_prefers_the_less_busy_by_weight() {
        let mut candidates = idle(&[1, 1]);
        candidates[0].in_flight = 5;
        assert_eq!(counts(LoadBalancing::LeastRequest, &candidates, 50), [0, 50]);
        let mut candidates = idle(&[10, 1]);
        candidates[0].in_flight = 5;
        assert_eq!(counts(LoadBalancing::LeastRequest, &candidates, 50), [50, 0]);
    }

    proptest! {
        #[test]
        fn only_usable_ones_are_chosen(
            spec in prop::collection::vec((1u32..9, 0u32..9, any::<bool>()), 0..8),
            seed: u64,
            least: bool,
        ) {
            let candidates: Vec<One> =
                spec.iter().map(|(weight, in_flight, usable)| One { weight: *weight, in_flight: *in_flight, usable: *usable }).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let policy = if least { LoadBalancing::LeastRequest } else { LoadBalancing::RoundRobin };
            let mut balancer = Balancer::new(policy, &candidates, &mut random);
            for _ in 0..20 {
                match choose(&mut balancer, &candidates, &mut random) {
                    Some(index) => prop_assert!(candidates[index].usable),
                    None => prop_assert!(candidates.iter().all(|c| !c.usable)),
                }
            }
        }
    }
}
