//! What a measurement says: sums by category, spelling and container, and what went wrong.

use std::collections::BTreeMap;

/// Sums over messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Values planted.
    pub(crate) planted: u64,
    /// Of which nothing is left.
    pub(crate) gone: u64,
    /// Characters of the longest part that is left of each other value.
    pub(crate) leaked: u64,
    /// Replaced parts that hold a planted value and nothing else.
    pub(crate) right: u64,
    /// Replaced parts that hold something else.
    pub(crate) wrong: u64,
}

impl Sums {
    /// Adds others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.planted += other.planted;
        self.gone += other.gone;
        self.leaked += other.leaked;
        self.right += other.right;
        self.wrong += other.wrong;
    }

    /// The part of the planted values that is gone.
    pub(crate) fn recall(&self) -> Option<f64> {
        (self.planted > 0).then(|| self.gone as f64 / self.planted as f64)
    }

    /// The part of what was replaced that held a value.
    pub(crate) fn precision(&self) -> Option<f64> {
        let all = self.right + self.wrong;
        (all > 0).then(|| self.right as f64 / all as f64)
    }
}

/// What the sums are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The category of the values; of what was replaced wrongly, what it was taken for.
    pub(crate) category: &'static str,
    /// Whether the values were in a canonical spelling, with a check digit.
    pub(crate) canonical: bool,
    /// The spelling.
    pub(crate) spelling: &'static str,
    /// The container.
    pub(crate) container: &'static str,
}

/// Something that went wrong, with what it takes to see it again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// A value or a part of it is left.
    Leak,
    /// This was taken for something.
    False(&'static str),
    /// The output can't be read as what the input was.
    Invalid(String),
    /// The output is no copy of the input with parts replaced.
    Mangled,
    /// Another cut gives another output.
    Cut,
}

/// An example of a failure.
pub(crate) struct Example {
    /// Where it was.
    pub(crate) container: &'static str,
    /// What was planted, or what the near miss was.
    pub(crate) label: String,
    /// What failed.
    pub(crate) failure: Failure,
    /// The input, or the part of it that matters.
    pub(crate) text: String,
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Findings {
    /// The sums.
    pub(crate) sums: BTreeMap<Key, Sums>,
    /// Failures in the order in which they were met.
    pub(crate) examples: Vec<Example>,
    /// Messages.
    pub(crate) messages: u64,
    /// Those that no longer were valid, by container.
    pub(crate) invalid: BTreeMap<&'static str, u64>,
    /// Those of which another cut made something else, by container.
    pub(crate) cut: BTreeMap<&'static str, u64>,
}
