//! Words by their borders.

/// What stands before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Nothing but underscores and hyphens parts it from the one before.
    Joined,
    /// The end of a sentence, or what looks like it.
    Sentence,
    /// The end of a table's row.
    Row,
    Other,
}

/// Elements that end with a row of a table.
const ROWS: [&[u8]; 3] = [b"tr>", b"thead>", b"table>"];

impl Border {
    /// What a gap is that stands before a word with this letter.
    fn of(gap: &[u8], follows: bool, letter: Option<u8>) -> Self {
        let capital = letter.is_some_and(|byte| byte.is_ascii_uppercase() || byte >= 0x80);
        let ends = |pair: &[u8]| matches!(pair, [b'.' | b'!' | b'?', b' ']) && capital || pair == b");";
        if follows && gap.iter().all(|byte| matches!(byte, b'_' | b'-')) {
            Self::Joined
        } else if gap.contains(&b'}') || gap.windows(2).any(ends) {
            Self::Sentence
        } else {
            Self::Other
        }
    }
}

/// The words of a text by their borders: beside what is no letter, and where the case goes up (`telNo`).
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], Border)> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte >= 0x80;
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mut from, mut row) = (at, false);
        loop {
            while at < text.len() && !is_letter(text[at]) {
                at += 1;
            }
            // The name of an element that has ended announces nothing.
            if !text[..at].ends_with(b"</") {
                break;
            }
            row |= ROWS.iter().any(|row| text[at..].starts_with(row));
            at += text[at..].iter().position(|byte| *byte == b'>')?;
            from = at;
        }
        let border = Border::of(&text[from..at], from > 0, text.get(at).copied());
        let (start, border) = (at, if row { Border::Row } else { border });
        while at < text.len()
            && is_letter(text[at])
            && (at == start || !(text[at - 1].is_ascii_lowercase() && text[at].is_ascii_uppercase()))
        {
            at += 1;
        }
        (at > start).then(|| (&text[start..at], border))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_stands_before_them() {
        let all = |text: &str| {
            words(text.as_bytes())
                .map(|(word, border)| (String::from_utf8_lossy(word).into_owned(), border))
                .collect::<Vec<_>>()
        };
        let expected =
            |words: &[(&str, Border)]| words.iter().map(|(word, border)| ((*word).to_owned(), *border)).collect();
        for (text, words) in [
            ("telNo", &[("tel", Border::Other), ("No", Border::Joined)][..]),
            ("tel_no: x", &[("tel", Border::Other), ("no", Border::Joined), ("x", Border::Other)]),
            ("Hei. Ring", &[("Hei", Border::Other), ("Ring", Border::Sentence)]),
            ("tlf. 1", &[("tlf", Border::Other)]),
            ("<b>tlf</b> x", &[("b", Border::Other), ("tlf", Border::Other), ("x", Border::Other)]),
            ("fødsel", &[("fødsel", Border::Other)]),
            ("a</b", &[("a", Border::Other)]),
            ("a</td></tr><td>", &[("a", Border::Other), ("td", Border::Row)]),
        ] {
            let expected: Vec<_> = expected(words);
            assert_eq!(all(text), expected, "{text}");
        }
    }
}
