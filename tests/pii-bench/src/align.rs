//! Which parts of a text were replaced: what is left of it is laid against the original.

use std::collections::HashSet;
use std::ops::Range;

use crate::adapter::marks;

/// A part that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Masked {
    /// Where it was in the original, in bytes.
    pub(crate) range: Range<usize>,
    /// What it was taken for.
    pub(crate) category: &'static str,
}

/// No value is longer.
const LONGEST: usize = 4096;

/// Lays the output against the original; `None` where it is no copy of it with parts replaced. Where several layouts are
/// possible, that is taken which replaces the planted values.
pub(crate) fn align(original: &str, output: &str, planted: &[Range<usize>]) -> Option<Vec<Masked>> {
    let (pieces, categories) = pieces(output);
    let mut search = Search { original, pieces: &pieces, planted, starts: Vec::new(), failed: HashSet::new() };
    if !original.starts_with(pieces[0]) || !search.go(1, pieces[0].len()) {
        return None;
    }
    search.starts.reverse();
    let mut end = pieces[0].len();
    let masked = search.starts.iter().enumerate().map(|(index, &start)| {
        let range = end..start;
        end = start + pieces[index + 1].len();
        Masked { range, category: categories[index] }
    });
    Some(masked.collect())
}

/// The parts between the marks, one more than there are marks.
fn pieces(output: &str) -> (Vec<&str>, Vec<&'static str>) {
    let (mut pieces, mut categories) = (Vec::new(), Vec::new());
    let mut start = 0;
    for (at, category, length) in marks(output) {
        pieces.push(&output[start..at]);
        categories.push(category);
        start = at + length;
    }
    pieces.push(&output[start..]);
    (pieces, categories)
}

struct Search<'a> {
    original: &'a str,
    pieces: &'a [&'a str],
    planted: &'a [Range<usize>],
    /// Where the pieces from the second on start, the last first.
    starts: Vec<usize>,
    failed: HashSet<(usize, usize)>,
}

impl Search<'_> {
    /// Places the pieces from `index` on, the first of them behind a replaced part that starts at `masked`.
    fn go(&mut self, index: usize, masked: usize) -> bool {
        if index == self.pieces.len() {
            return masked == self.original.len();
        }
        if self.failed.contains(&(index, masked)) {
            return false;
        }
        for start in self.candidates(index, masked) {
            if self.go(index + 1, start + self.pieces[index].len()) {
                self.starts.push(start);
                return true;
            }
        }
        self.failed.insert((index, masked));
        false
    }

    /// Where a piece may start, the end of a planted value first.
    fn candidates(&self, index: usize, masked: usize) -> Vec<usize> {
        let (original, piece) = (self.original, self.pieces[index]);
        if index + 1 == self.pieces.len() {
            let start = original.len().saturating_sub(piece.len());
            return if start > masked && original.ends_with(piece) { vec![start] } else { Vec::new() };
        }
        let fits = |start: &usize| original.get(*start..).is_some_and(|rest| rest.starts_with(piece));
        let ends = self.planted.iter().filter(|range| range.contains(&masked)).map(|range| range.end);
        let others = masked + 1..(masked + LONGEST).min(original.len() + 1);
        ends.chain(others).filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_parts_are_found() {
        let original = "a 12 12 b 34 c";
        let found = align(original, "a (~phone~) 12 b (~email~) c", &[]).unwrap();
        assert_eq!(found, [Masked { range: 2..4, category: "phone" }, Masked { range: 10..12, category: "email" }]);
        assert_eq!(align(original, "a 12 12 b 34 d", &[]), None);
        assert_eq!(align(original, original, &[]), Some(Vec::new()));
    }

    #[test]
    fn of_several_layouts_the_planted_one_is_taken() {
        let original = "tlf 11 22 11 x";
        let planted = 4..12;
        let found = align(original, "tlf (~phone~) x", std::slice::from_ref(&planted)).unwrap();
        assert_eq!(found, [Masked { range: planted, category: "phone" }]);
        let planted = 0..3;
        let found = align("1 1 1", "(~phone~) 1", std::slice::from_ref(&planted)).unwrap();
        assert_eq!(found[0].range, planted);
    }
}
