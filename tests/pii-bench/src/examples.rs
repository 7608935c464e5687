//! What went wrong, sorted by how often, with inputs that show it.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::{Example, Failure};

/// Examples of one failure that are printed.
const EXAMPLES: usize = 3;
/// Characters of an input that are printed.
const LONGEST: usize = 240;

/// Prints the failures: leaks of spellings that aren't found even in prose once, and those of the others by container.
pub(crate) fn print(examples: &[Example]) {
    let in_prose: BTreeSet<&str> =
        examples.iter().filter(|example| is_in_prose(example)).map(|example| example.label.as_str()).collect();
    let mut groups: BTreeMap<String, Vec<&Example>> = BTreeMap::new();
    for example in examples {
        let name = match &example.failure {
            Failure::Leak if is_in_prose(example) => format!("leak in prose: {}", example.label),
            Failure::Leak if in_prose.contains(example.label.as_str()) => continue,
            Failure::Leak => format!("leak in {} of what is found in prose", example.container),
            Failure::False(category) => format!("{category} that is none: {}", example.label),
            Failure::Invalid(_) => format!("invalid output: {}", example.container),
            Failure::Mangled => format!("output is no copy with parts replaced: {}", example.container),
            Failure::Cut => format!("other output when cut: {}", example.container),
        };
        groups.entry(name).or_default().push(example);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, examples)| std::cmp::Reverse(examples.len()));
    println!();
    for (name, examples) in groups {
        println!("{} × {name}", examples.len());
        // From all over the list, so that they differ.
        for example in examples.iter().step_by(examples.len().div_ceil(EXAMPLES)) {
            let text: String = example.text.chars().take(LONGEST).collect();
            let error = if let Failure::Invalid(error) = &example.failure { error } else { "" };
            println!("    {}, {}: {text:?} {error}", example.container, example.label);
        }
    }
}

fn is_in_prose(example: &Example) -> bool {
    example.failure == Failure::Leak && example.container == "prose"
}
