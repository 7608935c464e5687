//! A fuzz target without a fuzzer: over its corpus, and over mutations of it that are the same in every run. It finds what
//! a change broke near what is known; what nobody has thought of is for libFuzzer, which looks where code has not been.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Longer inputs are cut: time is for variety.
const MAX_INPUT: usize = 16 << 10;
/// What parsers trip over.
const TOKENS: [&[u8]; 16] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\xff",
    b"%2e",
    b"%2F",
    b"..",
    b"/",
    b":",
    b",",
    b";",
    b"=",
    b"\"",
    b"\\",
    b"*",
    b"\xc3\xa6",
];

/// Runs the target over all files of a directory and over so many mutations of them.
///
/// # Panics
/// Where the target does, after the input was shown, or where there is no corpus.
pub(crate) fn run(corpus: &Path, mutations: usize, target: impl Fn(&[u8])) {
    let mut files: Vec<_> = std::fs::read_dir(corpus)
        .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a file of the corpus")).collect();
    assert!(!seeds.is_empty(), "{}: no corpus", corpus.display());
    for seed in &seeds {
        checked(&target, seed);
    }
    let mut random = Random(0x5eed);
    for _ in 0..mutations {
        checked(&target, &mutated(&seeds, &mut random));
    }
}

fn checked(target: &impl Fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("the input was b\"{}\"", input.escape_ascii());
        resume_unwind(panic);
    }
}

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(seeds).clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let length = random.below(16).min(input.len() - at);
        match random.below(8) {
            0 if length > 0 => input[at] ^= 1 << random.below(8),
            1 if length > 0 => input[at] = random.below(256) as u8,
            2 => drop(input.drain(at..at + length)),
            3 => drop(input.splice(at..at, random.pick(&TOKENS).iter().copied())),
            4 => drop(input.splice(at..at + length, random.pick(&TOKENS).iter().copied())),
            5 => {
                let copy = input[at..at + length].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            6 => {
                let other = random.pick(seeds);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let other = random.pick(seeds);
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + 16).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
        }
    }
    input.truncate(MAX_INPUT);
    input
}

/// SplitMix64: no dependency, and the same inputs on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
