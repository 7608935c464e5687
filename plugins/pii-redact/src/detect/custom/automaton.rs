//! The automaton of a pattern: a table that says for each state and byte what the next state is.

use std::collections::BTreeMap;

use super::syntax::Node;

/// States of the pattern as it is written, before they are made deterministic.
const MOST_STATES: usize = 2000;
/// Entries of the table: bounds its memory.
const MOST_ENTRIES: usize = 1 << 15;
/// Steps that making the table may take: bounds the memory that is needed meanwhile, too.
const MOST_WORK: usize = 1 << 19;

/// The numbers of the state that nothing leads out of, and of the first.
const DEAD: u16 = 0;
const START: u16 = 1;

/// A pattern as a table.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    /// Bytes that no part of the pattern tells apart have the same class.
    classes: Box<[u8; 256]>,
    /// A row for each state, an entry for each class in it.
    next: Vec<Position>,
    width: usize,
}

/// Where an automaton stands: the start of its state's row, and what there is to know of the state. [`MOST_ENTRIES`] leaves
/// the bits free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position(u32);

impl Position {
    const ROW: u32 = 0xFFFF;
    const ACCEPTS: u32 = 1 << 16;
    const LAST: u32 = 1 << 17;

    /// Whether one of the two holds.
    #[inline]
    pub(super) fn is_notable(self) -> bool {
        self.0 > Self::ROW
    }

    /// Whether what was read is a match.
    #[inline]
    pub(super) fn accepts(self) -> bool {
        self.0 & Self::ACCEPTS != 0
    }

    /// Whether no more bytes can make a match, or a longer one.
    #[inline]
    pub(super) fn is_last(self) -> bool {
        self.0 & Self::LAST != 0
    }
}

impl Automaton {
    /// Makes the table. The error says what is wrong with the pattern.
    pub(super) fn new(pattern: &Node) -> Result<Self, String> {
        let mut parts = Vec::new();
        compile(pattern, &mut parts)?;
        parts.push(Part::Accept);
        let (classes, width) = classes(&parts);
        let mut automaton = Self { classes, next: Vec::new(), width };
        automaton.fill(&parts)?;
        Ok(automaton)
    }

    /// Before the first byte. No pattern matches the empty text, and none matches nothing.
    #[inline]
    pub(super) fn start(&self) -> Position {
        Position(u32::from(START) * self.width as u32)
    }

    /// Behind one more byte.
    #[inline]
    pub(super) fn step(&self, from: Position, byte: u8) -> Position {
        self.next[(from.0 & Position::ROW) as usize + usize::from(self.classes[usize::from(byte)])]
    }

    /// Whether this byte may be part of a match here.
    pub(super) fn leads_on(&self, from: Position, byte: u8) -> bool {
        let behind = self.step(from, byte);
        behind.accepts() || !behind.is_last()
    }

    /// The powerset construction: a state of the table stands for all parts that the pattern may be in.
    fn fill(&mut self, parts: &[Part]) -> Result<(), String> {
        let examples: Vec<u8> = (0..self.width)
            .filter_map(|class| (0..=255).find(|byte| usize::from(self.classes[usize::from(*byte)]) == class))
            .collect();
        let mut closure = Closure { parts, entered: vec![0; parts.len()], round: 0, work: 0 };
        let mut numbers = BTreeMap::new();
        let mut sets = vec![Vec::new(), closure.of([0])];
        numbers.insert(sets[0].clone(), DEAD);
        numbers.insert(sets[1].clone(), START);
        let mut next = Vec::new();
        let mut done = 0;
        while done < sets.len() {
            for &byte in &examples {
                let moved = sets[done].iter().filter(|part| parts[**part].takes(byte)).map(|part| part + 1);
                let moved = closure.of(moved.collect::<Vec<_>>());
                let number = match numbers.get(&moved) {
                    Some(number) => *number,
                    None => {
                        // No wider than the table may be long.
                        let number = sets.len() as u16;
                        numbers.insert(moved.clone(), number);
                        sets.push(moved);
                        number
                    }
                };
                next.push(number);
                if sets.len() * self.width > MOST_ENTRIES || closure.work > MOST_WORK {
                    return Err("the pattern is too large: what it has read so far may mean too many things; use `+` and `max_length` in place of long repetitions".to_owned());
                }
            }
            done += 1;
        }
        let accept = parts.len() - 1;
        let positions: Vec<Position> = sets
            .iter()
            .zip(next.chunks(self.width))
            .enumerate()
            .map(|(number, (set, next))| {
                let bit = |set: bool, bit| if set { bit } else { 0 };
                let accepts = bit(set.contains(&accept), Position::ACCEPTS);
                let last = bit(next.iter().all(|next| *next == DEAD), Position::LAST);
                // The row is within the table, which MOST_ENTRIES bounds.
                Position((number * self.width) as u32 | accepts | last)
            })
            .collect();
        self.next = next.into_iter().map(|number| positions[usize::from(number)]).collect();
        Ok(())
    }
}

/// A part of a pattern.
#[derive(Clone, Debug)]
enum Part {
    /// Takes a byte of the set and goes to the next part.
    Byte(Box<[bool; 256]>),
    /// Goes to both without taking anything.
    Split(usize, usize),
    /// Goes on elsewhere.
    Jump(usize),
    Accept,
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        matches!(self, Self::Byte(set) if set[usize::from(byte)])
    }
}

/// What parts lead to without a byte.
struct Closure<'a> {
    parts: &'a [Part],
    /// The round in which a part was entered last: starting the next round forgets them all at once.
    entered: Vec<u64>,
    round: u64,
    work: usize,
}

impl Closure<'_> {
    /// The parts that wait for a byte, and the accepting one.
    fn of(&mut self, from: impl Into<Vec<usize>>) -> Vec<usize> {
        self.round += 1;
        self.work += 1;
        let (mut stack, mut reached) = (from.into(), Vec::new());
        while let Some(part) = stack.pop() {
            self.work += 1;
            if std::mem::replace(&mut self.entered[part], self.round) == self.round {
                continue;
            }
            match &self.parts[part] {
                Part::Byte(_) | Part::Accept => reached.push(part),
                Part::Split(first, second) => stack.extend([*first, *second]),
                Part::Jump(target) => stack.push(*target),
            }
        }
        reached.sort_unstable();
        reached
    }
}

/// The class of each byte, and how many classes there are.
fn classes(parts: &[Part]) -> (Box<[u8; 256]>, usize) {
    let mut classes = Box::new([0_u8; 256]);
    let mut width = 1;
    for part in parts {
        let Part::Byte(set) = part else { continue };
        let mut numbers = BTreeMap::new();
        for (class, in_set) in classes.iter_mut().zip(set.iter()) {
            // There are no more classes than bytes.
            let fresh = numbers.len() as u8;
            *class = *numbers.entry((*class, *in_set)).or_insert(fresh);
        }
        width = numbers.len();
    }
    (classes, width)
}

fn compile(node: &Node, parts: &mut Vec<Part>) -> Result<(), String> {
    if parts.len() > MOST_STATES {
        return Err(format!("the pattern is too large: more than {MOST_STATES} parts"));
    }
    match node {
        Node::Set(set) => parts.push(Part::Byte(set.clone())),
        Node::Sequence(nodes) => nodes.iter().try_for_each(|node| compile(node, parts))?,
        Node::Either(nodes) => {
            let mut jumps = Vec::new();
            for (order, node) in nodes.iter().enumerate() {
                if order + 1 == nodes.len() {
                    compile(node, parts)?;
                    break;
                }
                let split = parts.len();
                parts.push(Part::Accept);
                compile(node, parts)?;
                jumps.push(parts.len());
                parts.push(Part::Accept);
                parts[split] = Part::Split(split + 1, parts.len());
            }
            let end = parts.len();
            jumps.into_iter().for_each(|jump| parts[jump] = Part::Jump(end));
        }
        Node::Repeat(node, least, most) => {
            for _ in 0..*least {
                compile(node, parts)?;
            }
            match most {
                None => {
                    let split = parts.len();
                    parts.push(Part::Accept);
                    compile(node, parts)?;
                    parts.push(Part::Jump(split));
                    parts[split] = Part::Split(split + 1, parts.len());
                }
                Some(most) => {
                    let mut splits = Vec::new();
                    for _ in *least..*most {
                        splits.push(parts.len());
                        parts.push(Part::Accept);
                        compile(node, parts)?;
                    }
                    let end = parts.len();
                    splits.into_iter().for_each(|split| parts[split] = Part::Split(split + 1, end));
                }
            }
        }
    }
    Ok(())
}
