//! Every path that a module's code names, also inside macros.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::files::{attributes, is_test};

/// The paths in an item, as they are written, without generic arguments.
pub(crate) fn of(item: &syn::Item) -> Vec<Vec<String>> {
    let mut found = Paths::default();
    found.visit_item(item);
    found.0
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        tokens(&call.tokens, &mut self.0);
    }
}

/// Words joined by `::` in the tokens of a macro, which may be anything.
fn tokens(stream: &TokenStream, into: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in stream.clone() {
        match token {
            TokenTree::Ident(word) => {
                if colons != 2 && !path.is_empty() {
                    into.push(std::mem::take(&mut path));
                }
                path.push(word.to_string());
                colons = 0;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                into.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                tokens(&group.stream(), into);
                colons = 0;
            }
            _ => {
                into.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                colons = 0;
            }
        }
    }
    into.extend((!path.is_empty()).then_some(path));
}

#[test]
fn paths_in_macros_are_seen() {
    let item: syn::Item = syn::parse_quote! {
        fn f() { select! { done = super::a::b(crate::c::D { e }) => {} } }
    };
    let found = of(&item);
    for path in [vec!["super", "a", "b"], vec!["crate", "c", "D"]] {
        assert!(found.iter().any(|found| *found == path), "{path:?} in {found:?}");
    }
}
