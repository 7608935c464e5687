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

/// How many bytes of a letter stand here: none of what isn't one. Marks, spaces and quotes have other first bytes in UTF-8
/// than the letters of these languages.
fn letter(text: &[u8]) -> usize {
    match text {
        [byte, ..] if byte.is_ascii_alphabetic() => 1,
        [0xC3..=0xDF, 0x80..=0xBF, ..] => 2,
        [0xE0 | 0xE1 | 0xE4..=0xED, 0x80..=0xBF, 0x80..=0xBF, ..] => 3,
        _ => 0,
    }
}

/// How many bytes stand here of what parts words, an escape taken together, whose letters are none of a word's.
fn gap(text: &[u8]) -> usize {
    match text {
        [b'\\', b'u', rest @ ..] => 2 + rest.iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count(),
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => 2,
        [b'%', first, second, ..] if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() => 3,
        _ => 1,
    }
}

/// The words of a text by their borders: beside what is no letter, and where the case goes up (`telNo`).
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], Border)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (mut from, mut row) = (at, false);
        loop {
            while at < text.len() && letter(&text[at..]) == 0 {
                at = text.len().min(at + gap(&text[at..]));
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
        loop {
            let length = letter(&text[at..]);
            let rises =
                at > start && text[at - 1].is_ascii_lowercase() && text.get(at).is_some_and(u8::is_ascii_uppercase);
            if length == 0 || rises {
                break;
            }
            at += length;
        }
        (at > start).then(|| (&text[start..at], border))
    })
}

/// Where a text goes on behind its last number of two digits or more. Those of escapes are none: `%20`, `\u00a0`, `&#160;`.
pub(super) fn behind_number(text: &[u8]) -> usize {
    let mut end = text.len();
    loop {
        let Some(pair) = text[..end].windows(2).rposition(|pair| pair.iter().all(u8::is_ascii_digit)) else { return 0 };
        let run = text[..pair].iter().rposition(|byte| !byte.is_ascii_hexdigit()).map_or(0, |found| found + 1);
        let escaped = match &text[..run] {
            [.., b'%'] => pair == run,
            [.., b'\\', b'u'] => pair + 2 <= run + 4,
            [.., b'&', b'#'] | [.., b'&', b'#', b'x'] => true,
            _ => false,
        };
        if !escaped {
            return pair + 2;
        }
        end = run;
    }
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
            ("x\\ncpr", &[("x", Border::Other), ("cpr", Border::Other)]),
            ("a\\u00a0b%20c", &[("a", Border::Other), ("b", Border::Other), ("c", Border::Other)]),
            ("\u{feff}KID “tlf”", &[("KID", Border::Other), ("tlf", Border::Other)]),
            ("a</b", &[("a", Border::Other)]),
            ("a</td></tr><td>", &[("a", Border::Other), ("td", Border::Row)]),
        ] {
            let expected: Vec<_> = expected(words);
            assert_eq!(all(text), expected, "{text}");
        }
    }
}
