//! Which endpoint is next: pure selection over weights and loads. A worker balances for itself; its start offset is
//! random, so that workers do not march in step.

use crate::model::LoadBalancing;

/// What selection sees of the endpoints, by their places.
pub(super) trait Candidates {
    /// How many there are.
    fn count(&self) -> usize;
    /// Relative share, from 1.
    fn weight(&self, place: usize) -> u32;
    /// Requests of this worker that are under way.
    fn in_flight(&self, place: usize) -> u32;
    /// Whether it may be chosen at all.
    fn usable(&self, place: usize) -> bool;
}

/// The policy with what it remembers from one choice to the next.
#[derive(Debug)]
pub(super) enum Balancer {
    /// All weights are equal: in turn.
    InTurn { next: usize },
    /// Smooth weighted round robin, as in NGINX: every usable endpoint gains its weight, the leader is chosen and
    /// pays the total. No endpoint gets its share in a burst.
    Weighted { current: Vec<i64> },
    /// The less busy of two random ones, by requests in flight over weight.
    LeastRequest,
}

impl Balancer {
    /// A balancer for endpoints with these weights.
    pub(super) fn new(policy: LoadBalancing, weights: &[u32], random: &mut fastrand::Rng) -> Self {
        match policy {
            LoadBalancing::LeastRequest => Self::LeastRequest,
            LoadBalancing::RoundRobin if weights.windows(2).all(|pair| pair[0] == pair[1]) => {
                Self::InTurn { next: random.usize(..weights.len().max(1)) }
            }
            LoadBalancing::RoundRobin => {
                // Begin as if a random number of choices had been made.
                let total = weights.iter().map(|weight| u64::from(*weight)).sum::<u64>();
                let mut current = vec![0; weights.len()];
                for _ in 0..random.u64(..total.clamp(1, 1024)) {
                    smooth(&mut current, weights.iter().map(|weight| Some(i64::from(*weight))));
                }
                Self::Weighted { current }
            }
        }
    }

    /// The place of the endpoint to use, or `None` when none is usable.
    pub(super) fn choose(&mut self, candidates: &impl Candidates, random: &mut fastrand::Rng) -> Option<usize> {
        match self {
            Self::InTurn { next } => {
                let count = candidates.count();
                let start = *next % count.max(1);
                let place = (start..count).chain(0..start).find(|place| candidates.usable(*place))?;
                *next = place + 1;
                Some(place)
            }
            Self::Weighted { current } => {
                let weight = |place| candidates.usable(place).then(|| i64::from(candidates.weight(place)));
                smooth(current, (0..candidates.count()).map(weight))
            }
            Self::LeastRequest => least_request(candidates, random),
        }
    }
}

/// One step of smooth weighted round robin; `None` weights are left out of this step.
fn smooth(current: &mut [i64], weights: impl Iterator<Item = Option<i64>>) -> Option<usize> {
    let (mut best, mut total): (Option<usize>, i64) = (None, 0);
    for (place, weight) in weights.enumerate().take(current.len()) {
        let Some(weight) = weight else { continue };
        total += weight;
        current[place] += weight;
        if best.is_none_or(|leader| current[place] > current[leader]) {
            best = Some(place);
        }
    }
    current[best?] -= total;
    best
}

/// Power of two choices, by load over weight.
fn least_request(candidates: &impl Candidates, random: &mut fastrand::Rng) -> Option<usize> {
    let usable = || (0..candidates.count()).filter(|place| candidates.usable(*place));
    let count = usable().count();
    if count < 2 {
        return usable().next();
    }
    let first = random.usize(..count);
    let second = (first + random.usize(1..count)) % count;
    let (first, second) = (usable().nth(first)?, usable().nth(second)?);
    // (in flight + 1) / weight, compared without division: an idle heavy endpoint beats an idle light one.
    let load = |a, b| (u64::from(candidates.in_flight(a)) + 1) * u64::from(candidates.weight(b));
    Some(if load(second, first) < load(first, second) { second } else { first })
}

#[cfg(test)]
mod tests {
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
        fn weight(&self, place: usize) -> u32 {
            self[place].weight
        }
        fn in_flight(&self, place: usize) -> u32 {
            self[place].in_flight
        }
        fn usable(&self, place: usize) -> bool {
            self[place].usable
        }
    }

    fn idle(weights: &[u32]) -> Vec<One> {
        weights.iter().map(|weight| One { weight: *weight, in_flight: 0, usable: true }).collect()
    }

    fn counts(policy: LoadBalancing, candidates: &Vec<One>, rounds: usize) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let weights: Vec<u32> = candidates.iter().map(|c| c.weight).collect();
        let mut balancer = Balancer::new(policy, &weights, &mut random);
        let mut counts = vec![0; candidates.len()];
        for _ in 0..rounds {
            counts[balancer.choose(candidates, &mut random).expect("one is usable")] += 1;
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
    fn weights_are_exact_and_smooth() {
        assert_eq!(counts(LoadBalancing::RoundRobin, &idle(&[5, 1, 1]), 70), [50, 10, 10]);
        // NGINX's own example: a, a, b, a, c, a, a.
        let mut current = vec![0; 3];
        let order: Vec<_> = (0..7).map(|_| smooth(&mut current, [5, 1, 1].map(Some).into_iter())).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0].map(Some));
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
            let weights: Vec<u32> = candidates.iter().map(|c| c.weight).collect();
            let mut random = fastrand::Rng::with_seed(seed);
            let policy = if least { LoadBalancing::LeastRequest } else { LoadBalancing::RoundRobin };
            let mut balancer = Balancer::new(policy, &weights, &mut random);
            for _ in 0..20 {
                match balancer.choose(&candidates, &mut random) {
                    Some(place) => prop_assert!(candidates[place].usable),
                    None => prop_assert!(candidates.iter().all(|c| !c.usable)),
                }
            }
        }
    }
}
