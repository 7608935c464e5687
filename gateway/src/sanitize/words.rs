//! What plugins write, without the words that are not theirs.
//!
//! Whatever a plugin knows of a request, of an answer to a call of its own, of what it keeps or of a secret, it has not from its
//! file. So a message is held against the file, as `strings` would show it, and against the config: a word that stands in
//! neither came from elsewhere and is masked, in whatever form the plugin has put it. That needs no list of what it has seen,
//! and holds for what it remembers of earlier requests as well.
//!
//! A word of the file alone says little of where a plugin has it from, if it is a common one. It is shown where it stands beside
//! another one as it does in the file, or where nothing of the exchange has it.

use std::borrow::Cow;

use super::texts::{Texts, is_part};

/// Stands in the place of what is masked.
pub(super) const MASK: &str = "***";
/// So many digits look like somebody's number, also where single characters part them.
const DIGITS: usize = 6;
/// So many numbers with single characters between them look like an address.
const NUMBERS: usize = 4;
/// Digits that may follow a word of the file's, as in `key17`.
const NUMBERED: usize = 2;
/// Words of a value that are looked for; what follows is masked. A client may have said more than anybody wants to look for.
const MOST_WORDS: usize = 64;

/// A message of a plugin: words that stand in none of its texts are masked, and so are numbers of six digits and more, and words
/// that stand alone and of which `came` says that the exchange has them.
pub fn own_words(message: &str, texts: &[&Texts], came: impl Fn(&str) -> bool) -> String {
    let words = words(message);
    let beside = |one: Option<&(usize, usize)>, other: Option<&(usize, usize)>| match (one, other) {
        (Some((start, _)), Some((_, end))) => texts.iter().any(|texts| texts.have_all_of(&message[*start..*end])),
        _ => false,
    };
    masked(message, &words, |index, word| {
        let (before, after) = (index.checked_sub(1).and_then(|before| words.get(before)), words.get(index + 1));
        let here = words.get(index);
        texts.iter().any(|texts| texts.have(word))
            && !has_number(word)
            && (beside(before, here) || beside(here, after) || !came(word))
    })
    .into_owned()
}

/// What a plugin says in a field of the log, in a label or in an attribute, without the words that stand in none of its texts.
/// Such a thing is often one word, so it counts as the plugin's own wherever it stands there: what nobody else can decide is
/// whether the client said the same.
pub fn own_values<'a>(text: &'a str, texts: &[&Texts]) -> Cow<'a, str> {
    let own = |word: &str| texts.iter().any(|texts| texts.have_anywhere(word));
    let words = words(text);
    let Some(&(rest, _)) = words.get(MOST_WORDS) else { return known_words(text, &words, own) };
    let mut shown = known_words(&text[..rest], &words[..MOST_WORDS], own).into_owned();
    shown.push_str(MASK);
    shown.into()
}

/// The words that are the plugin's own, also with a number behind them.
fn known_words<'a>(text: &'a str, words: &[(usize, usize)], own: impl Fn(&str) -> bool) -> Cow<'a, str> {
    masked(text, words, |_, word| {
        let stem = word.trim_end_matches(|end: char| end.is_ascii_digit());
        !has_number(word) && (own(word) || !stem.is_empty() && word.len() - stem.len() <= NUMBERED && own(stem))
    })
}

/// A text without the words that are neither short numbers nor known.
fn masked<'a>(text: &'a str, words: &[(usize, usize)], known: impl Fn(usize, &str) -> bool) -> Cow<'a, str> {
    let (mut shown, mut last) = (String::new(), 0);
    for (index, &(start, end)) in words.iter().enumerate() {
        let word = &text[start..end];
        if if is_number(word) { is_short(text, words, index) } else { known(index, word) } {
            continue;
        }
        shown.push_str(&text[last..start]);
        shown.push_str(MASK);
        last = end;
    }
    if last == 0 {
        return text.into();
    }
    shown.push_str(&text[last..]);
    shown.into()
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a number is nobody's, together with those that are parted from it by single characters: `4111 1111 1111 1111` is one.
fn is_short(text: &str, words: &[(usize, usize)], index: usize) -> bool {
    let number = |at: usize| words.get(at).filter(|(start, end)| is_number(&text[*start..*end]));
    let (mut first, mut last) = (index, index);
    while first > 0 && number(first - 1).is_some_and(|(_, end)| end + 1 == words[first].0) {
        first -= 1;
    }
    while number(last + 1).is_some_and(|(start, _)| words[last].1 + 1 == *start) {
        last += 1;
    }
    let digits: usize = words[first..=last].iter().map(|(start, end)| end - start).sum();
    digits < DIGITS && last - first + 1 < NUMBERS
}

fn has_number(word: &str) -> bool {
    word.as_bytes().windows(DIGITS).any(|window| window.iter().all(u8::is_ascii_digit))
}

/// Where the words of a text begin and end.
fn words(text: &str) -> Vec<(usize, usize)> {
    let (mut words, mut start) = (Vec::new(), None);
    for (place, byte) in text.bytes().enumerate() {
        match (is_part(byte), start) {
            (true, None) => start = Some(place),
            (false, Some(begun)) => {
                words.push((begun, place));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|begun| (begun, text.len())));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a compiler lays texts down: between code, and without anything between them.
    const FILE: &[u8] =
        b"\0asm\x01\x02no token in headerthe key of  is not knownpatientrefused\0\x07\x01cancerblocked by rule \0";

    fn shown(message: &str) -> String {
        own_words(message, &[&Texts::of(FILE), &Texts::of(b"{\"rule\":\"spring-cleaning\"}")], |word| {
            ["patient", "blocked"].contains(&word)
        })
    }

    #[test]
    fn what_a_plugin_wrote_itself_is_shown_and_nothing_else() {
        for (message, expected) in [
            ("no token in header authorization", "no token in header ***"),
            ("the key of kari is not known", "the key of *** is not known"),
            ("blocked by rule spring-cleaning: 3 of 12345", "blocked by rule spring-cleaning: 3 of 12345"),
            ("refused kari@example.com, 01017012345", "refused ***@***.***, ***"),
            ("refused: patient", "refused: ***"),
            ("cGF0aWVudA== 70617469656e74", "***== ***"),
            ("refused Åse", "refused ***"),
            ("blocked by rule 4111 1111 1111 1111", "blocked by rule *** *** *** ***"),
            ("blocked by rule 10.0.0.1, 1.5 of 12:30", "blocked by rule ***.***.***.***, 1.5 of 12:30"),
            ("", ""),
        ] {
            assert_eq!(shown(message), expected);
        }
    }

    #[test]
    fn of_what_a_plugin_notes_its_own_words_are_shown_wherever_they_stand_in_its_file() {
        let texts = [&Texts::of(FILE), &Texts::of(b"{\"rule\":\"spring-cleaning\"}")];
        for (text, expected) in [
            ("blocked", "blocked"),
            ("header", "header"),
            ("rule7: 3 of 12345", "rule7: 3 of 12345"),
            ("rule777", "***"),
            ("spring-cleaning", "spring-cleaning"),
            ("kari@example.no", "***@***.no"),
            ("/customers/kari?fnr=01017012345", "/***/***?***=***"),
            ("98 76 54 32", "*** *** *** ***"),
            (&"header ".repeat(65), &("header ".repeat(64) + "***")),
            ("", ""),
        ] {
            assert_eq!(own_values(text, &texts), expected);
        }
    }

    proptest! {
        /// No word gets through that stands in none of the texts.
        #[test]
        fn nothing_else_gets_through(words in prop::collection::vec("[a-zåæø0-9]{1,12}", 0..9), between in "[ ,:=\"/@-]{1,3}") {
            let message = words.join(&between);
            for word in shown(&message).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let own = Texts::of(FILE).have(word) || Texts::of(b"spring-cleaning").have(word);
                prop_assert!(own || word.len() < DIGITS && is_number(word), "{word} of {message}");
            }
            for word in own_values(&message, &[&Texts::of(FILE)]).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let stem = word.trim_end_matches(|end: char| end.is_ascii_digit());
                prop_assert!(Texts::of(FILE).have_anywhere(stem) || word.len() < DIGITS && is_number(word), "{word} of {message}");
            }
        }
    }
}
