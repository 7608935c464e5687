//! In turn, by weight.

use super::candidates::Candidates;

/// What is remembered from one choice to the next.
#[derive(Debug)]
pub(in crate::upstream) enum RoundRobin {
    /// All weights are equal.
    InTurn { next: usize },
    /// Smooth weighted round robin, as in NGINX: every usable endpoint gains its weight, the leader is chosen and
    /// pays the total. No endpoint gets its share in a burst.
    Weighted { current: Vec<i64> },
}

impl RoundRobin {
    /// The start is random, so that workers do not march in step.
    pub(super) fn new(candidates: &impl Candidates, random: &mut fastrand::Rng) -> Self {
        let count = candidates.count();
        let weight = |index| candidates.weight(index);
        if (1..count).all(|index| weight(index) == weight(0)) {
            return Self::InTurn { next: random.usize(..count.max(1)) };
        }
        // Begin as if a random number of choices had been made.
        let total = (0..count).map(|index| u64::from(weight(index))).sum::<u64>();
        let mut current = vec![0; count];
        for _ in 0..random.u64(..total.clamp(1, 1024)) {
            smooth(&mut current, (0..count).map(|index| Some(i64::from(weight(index)))));
        }
        Self::Weighted { current }
    }

    pub(super) fn choose(&mut self, candidates: &impl Candidates) -> Option<usize> {
        match self {
            Self::InTurn { next } => {
                let count = candidates.count();
                let start = *next % count.max(1);
                let index = (start..count).chain(0..start).find(|index| candidates.usable(*index))?;
                *next = index + 1;
                Some(index)
            }
            Self::Weighted { current } => {
                let weight = |index| candidates.usable(index).then(|| i64::from(candidates.weight(index)));
                smooth(current, (0..candidates.count()).map(weight))
            }
        }
    }
}

/// One step of smooth weighted round robin; `None` weights are left out of this step.
fn smooth(current: &mut [i64], weights: impl Iterator<Item = Option<i64>>) -> Option<usize> {
    let (mut best, mut total): (Option<usize>, i64) = (None, 0);
    for (index, weight) in weights.enumerate().take(current.len()) {
        let Some(weight) = weight else { continue };
        total += weight;
        current[index] += weight;
        if best.is_none_or(|leader| current[index] > current[leader]) {
            best = Some(index);
        }
    }
    current[best?] -= total;
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_weights_come_in_no_bursts() {
        // NGINX's own example: a, a, b, a, c, a, a.
        let mut current = vec![0; 3];
        let order: Vec<_> = (0..7).map(|_| smooth(&mut current, [5, 1, 1].map(Some).into_iter())).collect();
        assert_eq!(order, [0, 0, 1, 0, 2, 0, 0].map(Some));
    }
}
