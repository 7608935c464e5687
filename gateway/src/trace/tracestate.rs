//! The `tracestate` field of W3C Trace Context Level 2, section 3.3: what vendors remember along a trace. The gateway has no
//! member of its own; it passes on what is valid.

/// Members that there may be (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// Bytes that are passed on (section 3.3.1.5).
const MOST_BYTES: usize = 512;
/// Members larger than this go first where there is too much (section 3.3.1.5).
const LARGE: usize = 128;

/// All fields of a message as one value, within its limits; `None` where there is nothing, or anything of it is invalid.
pub(super) fn combine<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    // Section 3.3.1: several fields are one list (RFC 9110 section 5.3); members may be empty, with blanks around.
    for member in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let member = trim(std::str::from_utf8(member).ok()?);
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        let is_twice = || members.iter().any(|known| known.split_once('=').is_some_and(|(known, _)| known == key));
        if !is_key(key) || !is_value(value) || members.len() == MOST_MEMBERS || is_twice() {
            return None;
        }
        members.push(member);
    }
    shorten(&mut members);
    (!members.is_empty()).then(|| members.join(","))
}

/// Takes members off until the rest may be passed on: the large ones, then those at the end, which are the oldest.
fn shorten(members: &mut Vec<&str>) {
    let size = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    while size(members) > MOST_BYTES {
        match members.iter().rposition(|member| member.len() > LARGE) {
            Some(large) => drop(members.remove(large)),
            None => drop(members.pop()),
        }
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Section 3.3.1.3.1.
fn is_key(text: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let goes_on = |byte: u8| begins(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    (1..=256).contains(&text.len()) && text.bytes().next().is_some_and(begins) && text.bytes().all(goes_on)
}

/// Section 3.3.1.3.2. Blanks at the end were trimmed as those around a member.
fn is_value(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        combine(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn fields_are_one_list_without_its_blanks() {
        assert_eq!(
            of(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]).as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(of(&["a=1 ,\t b=2,,", "", "t@v=x y"]).as_deref(), Some("a=1,b=2,t@v=x y"));
        assert_eq!(of(&["0a*/-_@=!"]).as_deref(), Some("0a*/-_@=!"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[" , "]), None);
    }

    #[test]
    fn anything_invalid_makes_nothing_of_it() {
        let many: String = (0..33).map(|number| format!("k{number}=1,")).collect();
        let long = format!("{}=1", "k".repeat(257));
        let large = format!("k={}", "v".repeat(257));
        for value in
            ["a", "a=", "=1", "A=1", "_a=1", "a b=1", "a=1,a=2", "a=1=2", "a=å", "a=\u{1}", &many, &long, &large]
        {
            assert_eq!(of(&["b=1", value]), None, "{value}");
        }
    }

    #[test]
    fn what_is_too_much_goes_from_the_large_ones_and_the_end() {
        let large = format!("l={}", "v".repeat(200));
        let small: Vec<String> = (0..20).map(|number| format!("k{number:02}={}", "v".repeat(20))).collect();
        let text = [vec![large], small.clone()].concat().join(",");
        assert_eq!(of(&[&text]).unwrap(), small.join(","));
        let all: Vec<String> = (0..32).map(|number| format!("k{number:02}={}", "v".repeat(20))).collect();
        let kept = of(&[&all.join(",")]).unwrap();
        assert!(kept.len() <= 512 && kept.len() > 480 && all.join(",").starts_with(&kept), "{kept}");
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_valid_and_within_the_limits(values in proptest::collection::vec("[a-c0=, \\t~A]{0,40}", 0..8)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            if let Some(state) = of(&values) {
                prop_assert!(state.len() <= MOST_BYTES && state.split(',').count() <= MOST_MEMBERS);
                prop_assert_eq!(of(&[&state]), Some(state.clone()));
            }
        }
    }
}
