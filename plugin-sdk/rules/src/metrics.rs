//! `metrics`: which names and labels can be a series. What can't is dropped, not refused.

/// Labels of a series, beside the plugin.
pub const MAX_LABELS: usize = 8;
/// Bytes of a name.
const MAX_NAME: usize = 100;
/// Bytes of a label's value.
const MAX_VALUE: usize = 128;

/// A metric's or label's name; other characters become underscores. `None` where it is no name at all.
pub fn identifier(text: &str) -> Option<impl Iterator<Item = char> + Clone> {
    let starts_well = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    (starts_well && text.len() <= MAX_NAME)
        .then(|| text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }))
}

/// The name of a family, without the `_total` that a counter gets anyway.
pub fn family(name: &str) -> Option<impl Iterator<Item = char> + Clone> {
    identifier(name.strip_suffix("_total").unwrap_or(name))
}

/// What is kept of a label's value.
pub fn label_value(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_VALUE)]
}

/// The name of the last of these labels; `None` where it can't be one beside the others: `le` belongs to histograms,
/// `plugin` to the gateway, names with two underscores in front to Prometheus, and repeated labels make a sample invalid.
pub fn last_label(names: &[(&str, &str)]) -> Option<impl Iterator<Item = char> + Clone> {
    let ((name, _), before) = names.split_last()?;
    let name = identifier(name)?;
    let is = |other: &str| identifier(other).is_some_and(|other| name.clone().eq(other));
    let taken = is("le") || is("plugin") || name.clone().take(2).eq("__".chars());
    if taken || before.iter().any(|(other, _)| is(other)) { None } else { Some(name) }
}

/// Whether these can be a series.
pub fn is_series(name: &str, labels: &[(&str, &str)]) -> bool {
    let fits = |end: usize| last_label(&labels[..end]).is_some();
    family(name).is_some() && labels.len() <= MAX_LABELS && (1..=labels.len()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_series() {
        assert!(is_series("hits_total", &[("a", "1"), ("b.c", "2")]));
        for (name, labels) in [
            ("1a", &[][..]),
            ("", &[]),
            ("a", &[("le", "1")]),
            ("a", &[("plugin", "1")]),
            ("a", &[("__a", "1")]),
            ("a", &[("a-b", "1"), ("a.b", "1")]),
            ("a", &[("a", "1"); MAX_LABELS + 1]),
        ] {
            assert!(!is_series(name, labels), "{name} {labels:?}");
        }
        assert_eq!(family("hits_total").unwrap().collect::<String>(), "hits");
        assert_eq!(label_value(&"æ".repeat(65)).len(), 128);
    }
}
