//! The module tree of a crate: which file each module is in, what it declares and what it imports.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{Source, attributes, is_test};

/// A module by its path from the crate's root, for example `["plugin", "host"]`.
pub(crate) type Path = Vec<String>;

/// What a `use` brings into a module under a name.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// The path as it is written.
    pub(crate) path: Vec<String>,
    /// The name that it has in the module; `None` for a glob.
    pub(crate) name: Option<String>,
}

/// A module without what is there in tests only.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) imports: Vec<Import>,
    /// Names of what is declared in it, apart from modules.
    pub(crate) declared: BTreeSet<String>,
    pub(crate) items: Vec<syn::Item>,
}

/// The modules of a crate.
pub(crate) struct Modules(pub(crate) BTreeMap<Path, Module>);

impl Modules {
    /// Reads the crate whose root is `src/lib.rs` below a directory of the repository.
    pub(crate) fn read(directory: &str) -> Self {
        let sources = crate::files::sources(&format!("{directory}/src"));
        let files: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        Self::of(&files, &format!("{directory}/src/lib.rs"))
    }

    fn of(files: &BTreeMap<&str, &Source>, root: &str) -> Self {
        let mut modules = Self(BTreeMap::new());
        let directory = root.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        let syntax = &files[root].syntax;
        modules.add(files, Vec::new(), &directory, &syntax.items);
        modules
    }

    /// A crate made up for a test: modules by path, `""` for the root.
    #[cfg(test)]
    pub(crate) fn of_text(code: &[(&str, &str)]) -> Self {
        let source = |(path, text): &(&str, &str)| Source {
            path: if path.is_empty() { "src/lib.rs".to_owned() } else { format!("src/{path}.rs") },
            text: (*text).to_owned(),
            syntax: syn::parse_file(text).expect("valid"),
        };
        let sources: Vec<Source> = code.iter().map(source).collect();
        let files = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        Self::of(&files, "src/lib.rs")
    }

    /// Adds a module, and those below it, which lie in `directory`.
    fn add(&mut self, files: &BTreeMap<&str, &Source>, path: Path, directory: &str, items: &[syn::Item]) {
        let mut module = Module::default();
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                syn::Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let below = format!("{directory}/{name}");
                    let inside = [path.clone(), vec![name]].concat();
                    // A file of another crate, which knows nothing of this one.
                    if child.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
                        self.0.insert(inside, Module::default());
                    } else if let Some((_, items)) = &child.content {
                        self.add(files, inside, &below, items);
                    } else {
                        let places = [format!("{below}.rs"), format!("{below}/mod.rs")];
                        let file = places.iter().find_map(|place| files.get(place.as_str()));
                        let file = file.unwrap_or_else(|| panic!("no file of the module {below}"));
                        self.add(files, inside, &below, &file.syntax.items);
                    }
                    continue;
                }
                syn::Item::Use(import) => import_tree(&import.tree, &mut Vec::new(), &mut module.imports),
                other => module.declared.extend(name_of(other)),
            }
            module.items.push(item.clone());
        }
        self.0.insert(path, module);
    }

    /// The module in which something is declared that is called by `path` in the module `from`, re-exports followed. `None`
    /// for what comes from other crates or from the language, and where a path names a module and nothing in it.
    pub(crate) fn declares(&self, from: &Path, path: &[String]) -> Option<Path> {
        match self.resolve(from, path, 0)? {
            Found::Item(module) => Some(module),
            Found::Module(_) => None,
        }
    }

    fn resolve(&self, from: &Path, path: &[String], depth: usize) -> Option<Found> {
        // A re-export of itself (two globs that name each other) leads nowhere.
        if depth > 16 {
            return None;
        }
        let mut at = Found::Module(from.clone());
        for (position, segment) in path.iter().enumerate() {
            let Found::Module(module) = &at else { return Some(at) };
            at = match segment.as_str() {
                "crate" => Found::Module(Vec::new()),
                "self" => Found::Module(module.clone()),
                "super" => Found::Module(module.split_last()?.1.to_vec()),
                // `Self` and what the prelude has are declared nowhere here.
                name => self.member(module, name, position, depth)?,
            };
        }
        Some(at)
    }

    /// What a name means inside a module. `position` 0: it may be in scope by a glob of the module itself.
    fn member(&self, module: &Path, name: &str, position: usize, depth: usize) -> Option<Found> {
        let child = [module.clone(), vec![name.to_owned()]].concat();
        if self.0.contains_key(&child) {
            return Some(Found::Module(child));
        }
        let here = self.0.get(module)?;
        if here.declared.contains(name) {
            return Some(Found::Item(module.clone()));
        }
        let named = here.imports.iter().find(|import| import.name.as_deref() == Some(name));
        if let Some(import) = named {
            // `use http::…` in a module that has a child of that name would be ambiguous, so the first segment is not it.
            return (import.path.first().map(String::as_str) != Some(name) || position > 0)
                .then(|| self.resolve(module, &import.path, depth + 1))?;
        }
        let globs = here.imports.iter().filter(|import| import.name.is_none());
        globs.filter_map(|glob| self.resolve(module, &glob.path, depth + 1)).find_map(|found| match found {
            Found::Module(glob) if glob != *module => self.member(&glob, name, position, depth + 1),
            _ => None,
        })
    }
}

enum Found {
    Module(Path),
    Item(Path),
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn import_tree(tree: &syn::UseTree, prefix: &mut Vec<String>, into: &mut Vec<Import>) {
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            import_tree(&path.tree, prefix, into);
            prefix.pop();
        }
        syn::UseTree::Name(name) => into.push(import(prefix, &name.ident.to_string(), None)),
        syn::UseTree::Rename(rename) => {
            into.push(import(prefix, &rename.ident.to_string(), Some(rename.rename.to_string())));
        }
        syn::UseTree::Glob(_) => into.push(Import { path: prefix.clone(), name: None }),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| import_tree(tree, prefix, into)),
    }
}

fn import(prefix: &[String], last: &str, renamed: Option<String>) -> Import {
    let mut path = prefix.to_vec();
    if last != "self" {
        path.push(last.to_owned());
    }
    let name = renamed.or_else(|| path.last().cloned());
    Import { path, name }
}
