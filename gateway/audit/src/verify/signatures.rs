//! The signatures of a segment's heads, checked together: they take longer than everything else, and don't wait for each
//! other.

use std::num::NonZero;
use std::thread;

use crate::head::Statement;
use crate::keys::VerifierKey;

/// A head that is said to be signed.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// In which line of its segment.
    pub(super) line: u64,
    /// The number of the head's record.
    pub(super) seq: u64,
    pub(super) statement: Statement,
    pub(super) signature: String,
    pub(super) key: VerifierKey,
}

impl Signed {
    fn is_good(&self) -> bool {
        self.statement.is_signed(&self.signature, &self.key)
    }
}

/// As many are checked at a time, so that what waits is bounded.
pub(super) const MANY: usize = 4096;
/// Fewer than this are checked sooner than a thread begins.
const FEW: usize = 32;

/// Which signatures are right, in their order.
pub(super) fn check<'a>(heads: &'a [Signed]) -> Vec<bool> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    if heads.len() < FEW || threads == 1 {
        return heads.iter().map(Signed::is_good).collect();
    }
    thread::scope(|scope| {
        let start = |part: &'a [Signed]| {
            (part.len(), scope.spawn(move || part.iter().map(Signed::is_good).collect::<Vec<_>>()))
        };
        let running: Vec<_> = heads.chunks(heads.len().div_ceil(threads)).map(start).collect();
        // Nothing in a check can panic; if it did, nothing would be right.
        running.into_iter().flat_map(|(count, part)| part.join().unwrap_or_else(|_| vec![false; count])).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ChainId;
    use crate::samples;

    #[test]
    fn the_wrong_ones_are_found_in_their_places_however_many_there_are() {
        let (key, other) = (samples::signing_key(1), samples::signing_key(2));
        for count in [1, FEW - 1, FEW, 10 * FEW + 1] {
            let signed = |number: usize| {
                let statement =
                    Statement { head: samples::head(), id: ChainId([7; 16]), time: samples::time(number as u64 % 7) };
                let signature = statement.sign(if number % 5 == 3 { &other } else { &key });
                Signed { line: 1, seq: 1, statement, signature, key: key.verifier().clone() }
            };
            let heads: Vec<Signed> = (0..count).map(signed).collect();
            let expected: Vec<bool> = (0..count).map(|number| number % 5 != 3).collect();
            assert_eq!(check(&heads), expected);
        }
    }
}
