//! Values that no message shows, whoever repeats them.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Stands in for what is hidden.
const PLACEHOLDER: &str = "(not shown)";

/// Hidden values shorter than this are replaced only where they stand as a word: `8` must not take `18` apart.
const SHORT: usize = 4;

/// Characters of Base64 that are no word of somebody else's by chance.
const SHORTEST_CODED: usize = 6;

/// Values that stand in a plugin's config and may not be shown, whoever repeats them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(Vec<String>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hidden({})", self.0.len())
    }
}

impl Hidden {
    /// Adds a value, also as programs show texts: with escapes.
    pub fn add(&mut self, value: &str) {
        if value.trim().is_empty() {
            return;
        }
        let escaped = value.escape_debug().to_string();
        for value in [escaped.as_str(), value, value.trim()] {
            if !self.0.iter().any(|known| known == value) {
                self.0.push(value.to_owned());
            }
        }
        // The longest first: one may be a part of another.
        self.0.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// Adds a secret, also as it stands in texts that can't have its bytes, such as credentials: in hex, percent-encoded and in
    /// Base64, wherever in a longer value it begins.
    pub fn add_secret(&mut self, secret: &[u8]) {
        let secret = secret.trim_ascii();
        if let Ok(text) = std::str::from_utf8(secret) {
            self.add(text);
        }
        if secret.len() < SHORT {
            return;
        }
        let written = |write: fn(u8) -> String| secret.iter().copied().map(write).collect::<String>();
        self.add(&written(|byte| format!("{byte:02x}")));
        self.add(&written(|byte| format!("{byte:02X}")));
        self.add(&written(|byte| format!("%{byte:02X}")));
        for before in 0..3 {
            let text = BASE64_STANDARD.encode([&b"\0\0"[..before], secret].concat());
            // The first and the last characters have bits of what stands beside it.
            let (first, last) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
            let inner = &text[first..last];
            if inner.len() >= SHORTEST_CODED {
                self.add(inner);
                self.add(&inner.replace('+', "-").replace('/', "_"));
            }
        }
    }

    /// The text without the values.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for value in &self.0 {
            if text.contains(value.as_str()) {
                text = replace(&text, value).into();
            }
        }
        text
    }
}

fn replace(text: &str, value: &str) -> String {
    let (mut replaced, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(value) {
        let (before, after) = (&rest[..start], &rest[start + value.len()..]);
        let bounded = !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        replaced.push_str(before);
        replaced.push_str(if value.len() >= SHORT || bounded { PLACEHOLDER } else { value });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_values_are_taken_out_of_what_others_say() {
        let mut hidden = Hidden::default();
        for value in ["hunter2", "8", "with \"quotes\"", " "] {
            hidden.add(value);
        }
        assert_eq!(
            hidden.redact("`hunter2x` is 8, not 18: \"with \\\"quotes\\\"\""),
            "`(not shown)x` is (not shown), not 18: \"(not shown)\""
        );
        assert!(!format!("{hidden:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_is_hidden_in_the_forms_that_it_travels_in() {
        let mut hidden = Hidden::default();
        hidden.add_secret(b"hunter2-\xff\n");
        hidden.add_secret(b"key of >>?\n");
        for prefix in ["", "u:", "me:", "kari:"] {
            let credentials = BASE64_STANDARD.encode(format!("{prefix}key of >>?!"));
            for text in [credentials.replace('+', "-").replace('/', "_"), credentials] {
                let told = hidden.redact(&text).into_owned();
                assert!(told.contains(PLACEHOLDER) && told.len() < PLACEHOLDER.len() + 12, "{told} of {text}");
            }
        }
        assert_eq!(hidden.redact("68756E746572322DFF, 68756e746572322dff"), format!("{PLACEHOLDER}, {PLACEHOLDER}"));
        assert_eq!(
            hidden.redact("%6B%65%79%20%6F%66%20%3E%3E%3F, key of >>?"),
            format!("{PLACEHOLDER}, {PLACEHOLDER}")
        );
        assert_eq!(hidden.redact("a key"), "a key");
    }
}
