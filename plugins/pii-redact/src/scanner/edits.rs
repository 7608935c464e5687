//! What goes out of a piece of raw bytes, and what stands in its place.

/// Replacements in the order of their places, none of which overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    list: Vec<Edit>,
    /// The texts of all, one behind the other.
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    from: usize,
    to: usize,
    /// Where its text starts; it ends where the next one's does.
    text: usize,
}

impl Edits {
    /// Whether all stays as it is.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Leaves out `from..to`. What is appended to the result stands there instead.
    pub(super) fn cut(&mut self, from: usize, to: usize) -> &mut Vec<u8> {
        match self.list.last_mut() {
            Some(last) if last.to == from => last.to = to,
            _ => self.list.push(Edit { from, to, text: self.text.len() }),
        }
        &mut self.text
    }

    /// Each replacement: its place, and its text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize, &[u8])> {
        let ends = self.list.iter().skip(1).map(|next| next.text).chain([self.text.len()]);
        self.list.iter().zip(ends).map(|(edit, end)| (edit.from, edit.to, &self.text[edit.text..end]))
    }

    /// Appends `raw` with the replacements to `out`.
    pub(super) fn apply(&self, raw: &[u8], out: &mut Vec<u8>) {
        out.reserve(raw.len() + self.text.len());
        let mut copied = 0;
        for (from, to, text) in self.iter() {
            out.extend_from_slice(&raw[copied..from]);
            out.extend_from_slice(text);
            copied = to;
        }
        out.extend_from_slice(&raw[copied..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut edits = Edits::default();
        edits.cut(1, 2).extend_from_slice(b"x");
        edits.cut(2, 4).extend_from_slice(b"y");
        edits.cut(5, 5).extend_from_slice(b"z");
        let all: Vec<_> = edits.iter().map(|(from, to, text)| (from, to, text.to_vec())).collect();
        assert_eq!(all, [(1, 4, b"xy".to_vec()), (5, 5, b"z".to_vec())]);
        let mut out = Vec::new();
        edits.apply(b"abcdef", &mut out);
        assert_eq!(out, b"axyezf");
    }
}
