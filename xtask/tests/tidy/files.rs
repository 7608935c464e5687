//! The repository's Rust files, parsed.

use std::path::{Path, PathBuf};

use proc_macro2::LineColumn;
use syn::spanned::Spanned;

/// The top of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the repository, with `/` between.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

/// Every Rust file below a directory of the repository, except what was built and what belongs to nobody here.
pub(crate) fn sources(below: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&repository().join(below), &mut files);
    files.sort();
    let top = repository();
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Source { path: path.strip_prefix(&top).expect("below it").to_string_lossy().into_owned(), text, syntax }
    };
    files.into_iter().map(source).collect()
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, into);
        } else if name.ends_with(".rs") {
            into.push(path);
        }
    }
}

/// Whether an item is there in test builds only.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().starts_with("test"))
    })
}

/// The attributes of an item.
pub(crate) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::TraitAlias(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The lines that something takes, from its first attribute or comment to its end.
pub(crate) fn lines(of: &impl Spanned) -> usize {
    let (LineColumn { line: start, .. }, LineColumn { line: end, .. }) = (of.span().start(), of.span().end());
    end + 1 - start
}
