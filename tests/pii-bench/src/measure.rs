//! Messages with planted values, through the plugin and read again: what is gone, what leaked, what went without need.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;
use pii_redact::rules::Rules;

use crate::adapter::redact;
use crate::align::{Masked, align};
use crate::containers::{Container, containers};
use crate::item::Item;
use crate::values::{CHECKSUMMED, Spelling, spellings};

/// Planted values and near misses of a message, each.
const PLANTED: usize = 3;
/// Random ways in which each message is cut, besides byte by byte.
const CUTS: usize = 2;

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

/// Which containers and categories are measured.
pub(crate) struct Choice<'a> {
    /// Part of the container's name, all where it is empty.
    pub(crate) container: &'a str,
    /// The category, all where it is empty.
    pub(crate) category: &'a str,
}

/// Measures so many messages of each spelling in each container.
pub(crate) fn measure(rules: &Rules, seed: u64, messages: usize, choice: &Choice<'_>) -> Findings {
    let mut findings = Findings::default();
    for container in containers().filter(|container| container.name.contains(choice.container)) {
        let chosen = |spelling: &&Spelling| choice.category.is_empty() || spelling.category == choice.category;
        for spelling in spellings().filter(chosen) {
            // Each has numbers of its own, so that what is chosen changes nothing in the rest.
            let mut rng = Rng::with_seed(seed ^ hash(container.name) ^ hash(spelling.category) ^ hash(spelling.name));
            for _ in 0..messages {
                findings.message(rules, &mut rng, container, spelling);
            }
        }
    }
    findings
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Findings {
    fn message(&mut self, rules: &Rules, rng: &mut Rng, container: &Container, spelling: &Spelling) {
        let items: Vec<Item> = (0..PLANTED)
            .flat_map(|_| [Item::near_miss(rng), Item::value(rng, spelling)])
            .filter(container.holds)
            .collect();
        if items.iter().all(|item| item.category.is_none()) {
            return;
        }
        let message = (container.write)(rng, &items);
        let output = redact(rules, container.content_type, &[&message]);
        self.messages += 1;
        self.cuts(rules, rng, container, (spelling, &message, &output));
        let Ok(original) = (container.read)(&message) else { return };
        let places = places(&original, &items);
        let key = |category, spelling: &Spelling| Key {
            category,
            canonical: spelling.canonical && CHECKSUMMED.contains(&category),
            spelling: spelling.name,
            container: container.name,
        };
        let example = |failure, label: &str, text: &str| Example {
            container: container.name,
            label: label.to_owned(),
            failure,
            text: text.to_owned(),
        };
        let planted: Vec<&Range<usize>> =
            places.iter().zip(&items).filter(|(_, item)| item.category.is_some()).map(|(place, _)| place).collect();
        let sums = self.sums.entry(key(spelling.category, spelling)).or_default();
        sums.planted += planted.len() as u64;
        let raw = String::from_utf8_lossy(&message).into_owned();
        let text = match (container.read)(&output) {
            Ok(text) => text,
            Err(error) => {
                *self.invalid.entry(container.name).or_default() += 1;
                self.examples.push(example(Failure::Invalid(error), spelling.name, &raw));
                return;
            }
        };
        let own: Vec<Range<usize>> = planted.iter().map(|place| (*place).clone()).collect();
        let Some(masked) = align(&original, &text, &own) else {
            self.examples.push(example(Failure::Mangled, spelling.name, &raw));
            // What is left of a value counts all the same.
            for place in planted {
                if text.contains(&original[place.clone()]) {
                    sums.leaked += original[place.clone()].chars().count() as u64;
                } else {
                    sums.gone += 1;
                }
            }
            return;
        };
        for place in planted {
            match leaked(&original, place, &masked) {
                0 => sums.gone += 1,
                characters => {
                    sums.leaked += characters;
                    let around = surroundings(&original, place);
                    self.examples.push(example(
                        Failure::Leak,
                        &format!("{} {}", spelling.category, spelling.name),
                        around,
                    ));
                }
            }
        }
        for part in &masked {
            let (right, label) = judge(&original, part, &places, &items);
            if right {
                self.sums.entry(key(spelling.category, spelling)).or_default().right += 1;
            } else {
                let label = label.unwrap_or("between");
                self.sums.entry(key(part.category, spelling)).or_default().wrong += 1;
                let around = surroundings(&original, &part.range);
                self.examples.push(example(Failure::False(part.category), label, around));
            }
        }
    }

    /// The output doesn't depend on where the network cuts the message.
    fn cuts(
        &mut self,
        rules: &Rules,
        rng: &mut Rng,
        container: &Container,
        (spelling, message, output): (&Spelling, &[u8], &[u8]),
    ) {
        let mut ways: Vec<Vec<&[u8]>> = vec![message.chunks(1).collect()];
        for _ in 0..CUTS {
            let mut rest = message;
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(rng.usize(1..=rest.len().min(200)));
                chunks.push(chunk);
                rest = behind;
            }
            ways.push(chunks);
        }
        if ways.iter().any(|chunks| redact(rules, container.content_type, chunks) != output) {
            *self.cut.entry(container.name).or_default() += 1;
            self.examples.push(Example {
                container: container.name,
                label: format!("{} {}", spelling.category, spelling.name),
                failure: Failure::Cut,
                text: String::from_utf8_lossy(message).into_owned(),
            });
        }
    }
}

/// Where the items are in what a receiver reads; in their order.
fn places(text: &str, items: &[Item]) -> Vec<Range<usize>> {
    let mut from = 0;
    let place = |item: &Item| {
        let start = from + text[from..].find(&item.whole()).unwrap_or_default() + item.before.len();
        from = start + item.text.len() + item.after.len();
        start..start + item.text.len()
    };
    items.iter().map(place).collect()
}

/// Characters of the longest part of a value that is left: 0 where no letter and no digit is.
fn leaked(original: &str, place: &Range<usize>, masked: &[Masked]) -> u64 {
    let (mut longest, mut current) = (0, 0);
    for (offset, character) in original[place.clone()].char_indices() {
        let at = place.start + offset;
        let left = !masked.iter().any(|part| part.range.contains(&at));
        current = if left { current + u64::from(character.is_alphanumeric()) } else { 0 };
        longest = longest.max(current);
    }
    longest
}

/// Whether a replaced part holds a value and no letter or digit besides; otherwise the near miss that it touches.
fn judge(original: &str, part: &Masked, places: &[Range<usize>], items: &[Item]) -> (bool, Option<&'static str>) {
    let touched =
        places.iter().zip(items).find(|(place, _)| place.start < part.range.end && part.range.start < place.end);
    let Some((place, item)) = touched else { return (false, None) };
    // A scheme or a word that belongs to a token may go with it.
    let inside = place.start - item.before.len()..place.end;
    let letters = |range: Range<usize>| original.get(range).is_none_or(|text| text.contains(char::is_alphanumeric));
    let over = part.range.start < inside.start && letters(part.range.start..inside.start)
        || part.range.end > inside.end && letters(inside.end..part.range.end);
    (item.category.is_some() && !over, Some(item.label))
}

/// A part with what stands around it.
pub(crate) fn surroundings<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    let mut start = range.start.saturating_sub(40);
    let mut end = (range.end + 25).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    &text[start..end]
}
