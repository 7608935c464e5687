//! Values that no message shows, whoever repeats them.

/// Stands in for what is hidden.
const PLACEHOLDER: &str = "(not shown)";

/// Hidden values shorter than this are replaced only where they stand as a word: `8` must not take `18` apart.
const SHORT: usize = 4;

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

    /// The text without the values.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.0 {
            if text.contains(value.as_str()) {
                text = replace(&text, value);
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
}
