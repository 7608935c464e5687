//! The less busy of two random ones (the power of two choices), by requests in flight over weight.

use super::candidates::{Candidates, Choice};

pub(super) fn choose(candidates: &impl Candidates, choice: &mut Choice<'_>) -> Option<usize> {
    let usable = || (0..candidates.count()).filter(|index| candidates.usable(*index));
    let count = usable().count();
    if count < 2 {
        return usable().next();
    }
    let first = choice.random.usize(..count);
    let second = (first + choice.random.usize(1..count)) % count;
    let (first, second) = (usable().nth(first)?, usable().nth(second)?);
    // (in flight + 1) / weight, compared without division: an idle heavy endpoint beats an idle light one.
    let load = |a, b| (u64::from(candidates.in_flight(a)) + 1) * u64::from(candidates.weight(b));
    Some(if load(second, first) < load(first, second) { second } else { first })
}
