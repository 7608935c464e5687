//! The lengths of strings in the Huffman code of HPACK (RFC 7541 section 5.2), without the strings.
//!
//! The code is canonical: codes of one length are consecutive numbers, and shorter ones come first. So where a code ends is known
//! from how many there are of each length, whatever they stand for.

/// How many codes there are of each length (RFC 7541 appendix B).
const CODES: [usize; 31] = {
    let mut codes = [0; 31];
    let of_length: [(usize, usize); 21] = [
        (5, 10),
        (6, 26),
        (7, 32),
        (8, 6),
        (10, 5),
        (11, 3),
        (12, 2),
        (13, 6),
        (14, 2),
        (15, 3),
        (19, 3),
        (20, 8),
        (21, 13),
        (22, 26),
        (23, 29),
        (24, 12),
        (25, 4),
        (26, 15),
        (27, 19),
        (28, 29),
        (30, 4),
    ];
    let mut at = 0;
    while at < of_length.len() {
        codes[of_length[at].0] = of_length[at].1;
        at += 1;
    }
    codes
};

/// Nodes of the code's tree at which a code goes on.
const NODES: usize = 256;
/// An entry of [`STEPS`]: a code ends within these four bits. The others say at which node they end.
const ENDS: u16 = 0x100;
/// The code that stands for the end of a string, in which it must not be, ends within these four bits.
const INVALID: u16 = 0x200;

/// What four bits lead to from each node. No code is shorter, so at most one ends within them.
static STEPS: [[u16; 16]; NODES] = steps();

const fn steps() -> [[u16; 16]; NODES] {
    // Nodes are numbered by depth, and from left to right. The codes of a length are the leftmost of its depth. The first
    // pass finds for each node where its two branches lead.
    let mut branches = [[0; 2]; NODES];
    let (mut first, mut count, mut depth) = (0, 1, 0);
    while depth < 30 {
        let below = first + count;
        let mut branch: usize = 0;
        while branch < 2 * count {
            let to = match branch.checked_sub(CODES[depth + 1]) {
                Some(node) => (below + node) as u16,
                // Of the longest, the last.
                None if depth + 1 == 30 && branch + 1 == 2 * count => ENDS | INVALID,
                None => ENDS,
            };
            branches[first + branch / 2][branch % 2] = to;
            branch += 1;
        }
        (first, count, depth) = (below, 2 * count - CODES[depth + 1], depth + 1);
    }
    let mut steps = [[0; 16]; NODES];
    let mut node = 0;
    while node < NODES {
        let mut bits = 0;
        while bits < 16 {
            let (mut at, mut seen, mut left) = (node as u16, 0, 4);
            while left > 0 {
                left -= 1;
                let to = branches[at as usize][(bits >> left) & 1];
                // Where one code ends the next one begins, at the root.
                (at, seen) = (to & 0xff, seen | (to & (ENDS | INVALID)));
            }
            steps[node][bits] = at | seen;
            bits += 1;
        }
        node += 1;
    }
    steps
}

/// The symbols of one string as its bytes come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Symbols {
    node: u8,
    number: usize,
}

impl Symbols {
    /// Counts those that end within these bytes. `None`: the string is none.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Option<()> {
        for byte in bytes {
            for bits in [byte >> 4, byte & 15] {
                let step = STEPS[usize::from(self.node)][usize::from(bits)];
                if step & INVALID != 0 {
                    return None;
                }
                self.number += usize::from(step & ENDS != 0);
                self.node = (step & 0xff) as u8;
            }
        }
        Some(())
    }

    /// How many there were. What is left of the last byte is padding.
    pub(super) const fn number(&self) -> usize {
        self.number
    }
}
