//! Messages with planted values, through the plugin and read again: what is gone, what leaked, what went without need.

use std::ops::Range;

use fastrand::Rng;
use pii_redact::rules::Rules;

use crate::adapter::redact;
use crate::align::{Masked, align};
use crate::containers::{Container, containers};
use crate::findings::{Example, Failure, Findings, Key};
use crate::item::Item;
use crate::values::{CHECKSUMMED, Spelling, spellings};

/// Planted values and near misses of a message, each.
const PLANTED: usize = 3;
/// Random ways in which each message is cut, besides byte by byte.
const CUTS: usize = 2;
/// Bytes of the longest piece of such a cut.
const LONGEST_PIECE: usize = 200;

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
                if let Some(trial) = Trial::new(&mut rng, container, spelling) {
                    trial.run(rules, &mut rng, &mut findings);
                }
            }
        }
    }
    findings
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One message on its way.
struct Trial {
    container: &'static Container,
    spelling: &'static Spelling,
    items: Vec<Item>,
    /// As it is sent.
    message: Vec<u8>,
    /// What a receiver reads in it.
    original: String,
    /// Where the items are in that.
    places: Vec<Range<usize>>,
}

impl Trial {
    /// Makes a message; `None` where the container can't hold values of this spelling.
    fn new(rng: &mut Rng, container: &'static Container, spelling: &'static Spelling) -> Option<Self> {
        let items: Vec<Item> = (0..PLANTED)
            .flat_map(|_| [Item::near_miss(rng), Item::value(rng, spelling)])
            .filter(container.holds)
            .collect();
        let message = (container.write)(rng, &items);
        let original = (container.read)(&message).ok()?;
        let places = places(&original, &items);
        let holds_values = items.iter().any(|item| item.category.is_some());
        holds_values.then_some(Self { container, spelling, items, message, original, places })
    }

    fn run(&self, rules: &Rules, rng: &mut Rng, findings: &mut Findings) {
        findings.messages += 1;
        findings.sums.entry(self.key(self.spelling.category)).or_default().planted += self.planted().len() as u64;
        let output = redact(rules, self.container.content_type, &[&self.message]);
        if self.ways_to_cut(rng).iter().any(|chunks| redact(rules, self.container.content_type, chunks) != output) {
            *findings.cut.entry(self.container.name).or_default() += 1;
            self.note_all(findings, Failure::Cut);
        }
        match (self.container.read)(&output) {
            Ok(text) => match align(&self.original, &text, &self.planted()) {
                Some(masked) => {
                    self.judge_values(&masked, findings);
                    self.judge_parts(&masked, findings);
                }
                None => self.mangled(&text, findings),
            },
            Err(error) => {
                *findings.invalid.entry(self.container.name).or_default() += 1;
                self.note_all(findings, Failure::Invalid(error));
            }
        }
    }

    /// Where the values are.
    fn planted(&self) -> Vec<Range<usize>> {
        let all = self.places.iter().zip(&self.items);
        all.filter(|(_, item)| item.category.is_some()).map(|(place, _)| place.clone()).collect()
    }

    fn key(&self, category: &'static str) -> Key {
        Key {
            category,
            canonical: self.spelling.canonical && CHECKSUMMED.contains(&category),
            spelling: self.spelling.name,
            container: self.container.name,
        }
    }

    /// Byte by byte, and at random.
    fn ways_to_cut(&self, rng: &mut Rng) -> Vec<Vec<&[u8]>> {
        let mut ways: Vec<Vec<&[u8]>> = vec![self.message.chunks(1).collect()];
        for _ in 0..CUTS {
            let (mut rest, mut chunks) = (self.message.as_slice(), Vec::new());
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(rng.usize(1..=rest.len().min(LONGEST_PIECE)));
                chunks.push(chunk);
                rest = behind;
            }
            ways.push(chunks);
        }
        ways
    }

    /// Which values are gone, and how much is left of the others.
    fn judge_values(&self, masked: &[Masked], findings: &mut Findings) {
        for place in self.planted() {
            let left = leaked(&self.original, &place, masked);
            let sums = findings.sums.entry(self.key(self.spelling.category)).or_default();
            sums.gone += u64::from(left == 0);
            sums.leaked += left;
            if left > 0 {
                self.note(findings, Failure::Leak, self.label(), surroundings(&self.original, &place));
            }
        }
    }

    /// Which replaced parts held a value.
    fn judge_parts(&self, masked: &[Masked], findings: &mut Findings) {
        for part in masked {
            let (right, label) = judge(&self.original, part, &self.places, &self.items);
            if right {
                findings.sums.entry(self.key(self.spelling.category)).or_default().right += 1;
            } else {
                findings.sums.entry(self.key(part.category)).or_default().wrong += 1;
                let label = label.unwrap_or("between").to_owned();
                self.note(findings, Failure::False(part.category), label, surroundings(&self.original, &part.range));
            }
        }
    }

    /// The output is no copy with parts replaced: what is left of a value as a whole counts all the same.
    fn mangled(&self, text: &str, findings: &mut Findings) {
        self.note_all(findings, Failure::Mangled);
        let sums = findings.sums.entry(self.key(self.spelling.category)).or_default();
        for place in self.planted() {
            let value = &self.original[place];
            if text.contains(value) {
                sums.leaked += value.chars().count() as u64;
            } else {
                sums.gone += 1;
            }
        }
    }

    fn label(&self) -> String {
        format!("{} {}", self.spelling.category, self.spelling.name)
    }

    fn note(&self, findings: &mut Findings, failure: Failure, label: String, text: &str) {
        findings.examples.push(Example { container: self.container.name, label, failure, text: text.to_owned() });
    }

    /// With the whole message.
    fn note_all(&self, findings: &mut Findings, failure: Failure) {
        self.note(findings, failure, self.label(), &String::from_utf8_lossy(&self.message));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::rules;

    #[test]
    fn addresses_in_prose_are_found_and_the_same_seed_says_the_same() {
        let choice = Choice { container: "prose", category: "email" };
        let rules = rules().unwrap();
        let [one, other] = [1, 1].map(|seed| measure(&rules, seed, 2, &choice));
        assert_eq!(one.sums, other.sums);
        assert!(one.messages > 20 && one.invalid.is_empty() && one.cut.is_empty());
        let plain = one.sums.iter().find(|(key, _)| key.spelling == "plain" && key.container == "prose").unwrap().1;
        assert_eq!((plain.planted, plain.gone, plain.leaked, plain.wrong), (6, 6, 0, 0));
    }

    #[test]
    fn what_is_left_is_the_longest_part() {
        let masked = [Masked { range: 3..6, category: "phone" }];
        assert_eq!(leaked("12 345 6789", &(0..11), &masked), 4);
        assert_eq!(leaked("(+ 345 )", &(0..8), &masked), 0);
    }

    #[test]
    fn a_part_that_takes_more_than_the_value_is_wrong() {
        let mut rng = Rng::with_seed(1);
        let spelling = spellings().find(|spelling| spelling.name == "8 digits").unwrap();
        let item = Item { text: "98765432".to_owned(), ..Item::value(&mut rng, spelling) };
        let (text, place, items) = ("tlf 98765432 x", 4..12, [item]);
        let right = |range| {
            let part = Masked { range, category: "phone" };
            judge(text, &part, std::slice::from_ref(&place), &items).0
        };
        assert!(right(4..12) && right(3..13));
        assert!(!right(0..12) && !right(4..14) && !right(0..3));
    }
}
