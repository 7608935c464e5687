//! What a regular expression says about the beginning of the paths that it matches, read off its text.

use std::iter::Peekable;
use std::str::Chars;

/// The whole segments that every match begins with, without a slash at the end: `/users` for `/users/[0-9]+/orders`.
/// Empty where the text does not say, which is always true, and costs only time.
pub(super) fn literal_segments(pattern: &str) -> String {
    // The two anchors that the configuration puts around every expression.
    let inner = pattern.strip_prefix(r"\A(?:").and_then(|rest| rest.strip_suffix(r")\z"));
    let Some(inner) = inner.filter(|inner| !may_alternate(inner)) else { return String::new() };
    let mut literal = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            // Of an escape only a character that means itself; `\<` and `\>` are borders of words.
            '\\' => match characters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => {
                    literal.push(escaped);
                }
                _ => break,
            },
            '.' | '[' | '(' | ')' | '^' | '$' => break,
            // What it repeats may not be there.
            '?' | '*' | '+' | '{' => {
                literal.pop();
                break;
            }
            itself => literal.push(itself),
        }
    }
    literal.truncate(literal.rfind('/').unwrap_or(0));
    literal
}

/// Whether there may be a `|` outside of all groups, so that a match need not begin as the text does.
fn may_alternate(pattern: &str) -> bool {
    let (mut groups, mut characters) = (0_usize, pattern.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => skip_class(&mut characters),
            '(' => {
                groups += 1;
                // Flags such as (?x) change how the rest is to be read.
                if characters.next_if_eq(&'?').is_some() && !matches!(characters.peek(), Some(':' | 'P' | '<')) {
                    return true;
                }
            }
            ')' => groups = groups.saturating_sub(1),
            '|' if groups == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Goes behind the end of a character class, whose beginning was just read.
fn skip_class(characters: &mut Peekable<Chars<'_>>) {
    let mut depth = 1;
    characters.next_if_eq(&'^');
    // First in a class it stands for itself.
    characters.next_if_eq(&']');
    while depth > 0 {
        match characters.next() {
            Some('\\') => drop(characters.next()),
            Some('[') => {
                depth += 1;
                characters.next_if_eq(&'^');
                characters.next_if_eq(&']');
            }
            Some(']') => depth -= 1,
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(pattern: &str) -> String {
        literal_segments(&format!(r"\A(?:{pattern})\z"))
    }

    #[test]
    fn whole_segments_are_read_off_the_text() {
        for (pattern, expected) in [
            ("/users/[0-9]+/orders", "/users"),
            ("/api/v1/users/.*", "/api/v1/users"),
            (r"/v1\.0/x\d+", "/v1.0"),
            ("/api/v(1|2)/x", "/api"),
            ("/a/b", "/a"),
            ("/a/[(]/(b|c)", "/a"),
            ("/a/[]|]/b", "/a"),
        ] {
            assert_eq!(of(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_need_not_be_there_is_not_counted() {
        for (pattern, expected) in [
            ("/a/?", ""),
            ("/a/b/?c", "/a"),
            ("/a/b/*", "/a"),
            ("/a/b/{0,1}", "/a"),
            ("/a/b|/c/d", ""),
            ("/a/[(]/b|/c", ""),
            ("/a/b(?x) # (\n|/c", ""),
            ("(?i)/a/b", ""),
            (r"/a/\x62/c", "/a"),
            ("[a-z/]+", ""),
            ("", ""),
        ] {
            assert_eq!(of(pattern), expected, "{pattern}");
        }
        assert_eq!(literal_segments("/a/b/c"), "", "not anchored");
    }

    proptest! {
        #[test]
        fn every_match_begins_with_it(pattern in r"(/|a|b|\\.|\[ab\]|\[|\]|\(|\)|\||\?|\*|\.|\{0,1\}|\(\?:|\^){1,10}", path in "(/[ab]{1,2}){1,4}") {
            let whole = format!(r"\A(?:{pattern})\z");
            // As in the configuration: an expression alone first, `)|(` is none.
            if regex::Regex::new(&pattern).is_err() {
                return Ok(());
            }
            if let Ok(regex) = regex::Regex::new(&whole) && regex.is_match(&path) {
                let literal = literal_segments(&whole);
                prop_assert!(literal.is_empty() || path.starts_with(&format!("{literal}/")), "{literal}");
            }
        }
    }
}
