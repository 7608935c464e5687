//! No circle between the folders of a crate, nor between the modules inside one.
//!
//! A module depends on another one where its code names something that is declared there; who re-exports it does not count.
//! On each floor, what lies deeper is counted with the folder that it lies in.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Modules, Path};
use crate::paths;

/// What a folder calls its own file in messages.
const ITSELF: &str = "(its own file)";

/// Who names whom, with one of the names as an example.
fn dependencies(modules: &Modules) -> BTreeMap<(Path, Path), String> {
    let mut edges = BTreeMap::new();
    for (from, module) in &modules.0 {
        for path in module.items.iter().flat_map(paths::of) {
            if let Some(to) = modules.declares(from, &path).filter(|to| to != from) {
                edges.entry((from.clone(), to)).or_insert_with(|| path.join("::"));
            }
        }
    }
    edges
}

/// The child of a folder that a module belongs to.
fn room<'a>(folder: &Path, module: &'a Path) -> Option<&'a str> {
    let below = module.strip_prefix(folder.as_slice())?;
    Some(below.first().map_or(ITSELF, String::as_str))
}

/// Groups of rooms of one folder that depend on each other in a circle, each with the names that tie it.
fn circles(folder: &Path, edges: &BTreeMap<(Path, Path), String>) -> Vec<String> {
    let mut ties: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for ((from, to), name) in edges {
        let (Some(one), Some(other)) = (room(folder, from), room(folder, to)) else { continue };
        if one != other {
            ties.entry((one, other)).or_default().push(format!("{} names {name}", from.join("/")));
        }
    }
    let mut reach: BTreeSet<(&str, &str)> = ties.keys().copied().collect();
    let rooms: BTreeSet<&str> = reach.iter().flat_map(|(one, other)| [*one, *other]).collect();
    for by in &rooms {
        for from in &rooms {
            for to in &rooms {
                if reach.contains(&(from, by)) && reach.contains(&(by, to)) {
                    reach.insert((from, to));
                }
            }
        }
    }
    let tied = |one: &str, other: &str| reach.contains(&(one, other)) && reach.contains(&(other, one));
    let inside = ties.iter().filter(|((one, other), _)| tied(one, other));
    inside.map(|((one, other), names)| format!("{one} -> {other}: {}", names.join("; "))).collect()
}

fn all_circles(modules: &Modules) -> Vec<(String, Vec<String>)> {
    let edges = dependencies(modules);
    assert!(!edges.is_empty(), "no import was found");
    let folders: BTreeSet<Path> =
        modules.0.keys().filter_map(|path| path.split_last().map(|(_, folder)| folder.to_vec())).collect();
    let found = folders.iter().map(|folder| (folder.join("/"), circles(folder, &edges)));
    found.filter(|(_, ties)| !ties.is_empty()).collect()
}

#[test]
fn no_room_of_the_gateway_stands_in_a_circle() {
    for (package, least) in [("gateway", 100), ("gateway/export", 30)] {
        let modules = Modules::read(package);
        assert!(modules.0.len() > least, "only {} modules in {package}", modules.0.len());
        let found = all_circles(&modules);
        assert!(found.is_empty(), "{package}: {found:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Module;

    /// A crate of these modules, each with its code.
    fn krate(code: &[(&str, &str)]) -> Modules {
        Modules::of_text(code)
    }

    #[test]
    fn a_circle_through_a_re_export_and_super_is_found() {
        let modules = krate(&[
            ("", "pub mod a; pub mod b;"),
            ("a", "mod deep; pub use deep::Thing;"),
            ("a/deep", "pub struct Thing(super::super::b::Other);"),
            ("b", "use crate::a; pub struct Other; fn f(_: a::Thing) {}"),
        ]);
        let found = all_circles(&modules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.iter().any(|tie| tie.starts_with("a -> b: a/deep names")), "{found:?}");
        assert!(found[0].1.iter().any(|tie| tie.starts_with("b -> a:")), "{found:?}");
    }

    #[test]
    fn a_folder_that_only_re_exports_its_files_is_no_circle() {
        let modules = krate(&[
            ("", "pub mod a;"),
            ("a", "mod one; mod two; pub use one::One; pub use two::Two;"),
            ("a/one", "pub struct One;"),
            ("a/two", "use super::One; pub struct Two(One);"),
        ]);
        assert!(all_circles(&modules).is_empty());
    }

    #[test]
    fn a_file_that_needs_its_folder_which_needs_it_is_a_circle() {
        let modules = krate(&[
            ("", "pub mod a;"),
            ("a", "mod one; pub struct Main(one::One);"),
            ("a/one", "pub struct One(Option<Box<super::Main>>);"),
        ]);
        assert_eq!(all_circles(&modules).len(), 1);
    }

    #[test]
    fn what_only_tests_name_is_no_dependency() {
        let modules = krate(&[
            ("", "pub mod a; pub mod b;"),
            ("a", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; fn f(_: B) {} }"),
            ("b", "pub struct B(crate::a::A);"),
        ]);
        assert!(all_circles(&modules).is_empty());
    }

    #[test]
    fn modules_hold_what_is_declared() {
        let modules = krate(&[("", "pub mod a;"), ("a", "struct A; fn b() {}")]);
        let Module { declared, .. } = &modules.0[&vec!["a".to_owned()]];
        assert_eq!(declared.iter().collect::<Vec<_>>(), ["A", "b"]);
    }
}
