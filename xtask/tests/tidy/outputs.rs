//! What came from a client, an upstream or a secret leaves the gateway through `sanitize/` alone.
//!
//! Types see to most of it: such values can't be formatted. What types can't see is looked for here: a `Debug` that would print
//! bytes of a peer, and content that was exposed and is then formatted for somebody to read.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::files::{Source, attributes, is_test, sources};

/// Types that show what they hold. Where `Debug` is derived they stand in a `Sensitive`.
const SHOWN: [&str; 10] = [
    "Authority",
    "Bytes",
    "BytesMut",
    "HeaderMap",
    "HeaderName",
    "HeaderValue",
    "IpAddr",
    "Method",
    "PathAndQuery",
    "Uri",
];

/// Folders and files whose types hold what the operator has written or chosen, or what has been made to be sent.
const THE_OPERATORS: [&str; 4] = ["cli/", "config/", "export/", "model/"];

/// Types that derive it all the same, each with its reason.
const DERIVED_ALL_THE_SAME: &[(&str, &str)] = &[
    ("Condition", "a route's, from the configuration"),
    ("EndpointNames", "an upstream's, from the configuration"),
    ("HeaderRules", "what the gateway says of itself"),
    ("Hops", "the gateway's own name, beside what is hidden"),
    ("Piece", "a part of a line of the log, from the configuration"),
    ("NameCache", "names that plugins have asked for, by a number"),
    ("RequestId", "made here or by a trusted proxy, to be shown"),
    ("Upstream", "from the configuration"),
];

/// Macros whose text somebody reads.
const OUTPUTS: [&str; 13] = [
    "trace", "debug", "info", "warn", "error", "event", "span", "print", "println", "eprint", "eprintln", "panic",
    "safe",
];

/// The gateway's files, by their path in it, and those of the crate that exports what it tells, apart from tests and from what feeds
/// parsers with bytes of its own.
pub(super) fn gateway() -> Vec<(String, Source)> {
    let of = |source: Source| {
        let path = source.path.strip_prefix("gateway/src/").or_else(|| source.path.strip_prefix("gateway/"))?;
        Some((path.to_owned(), source))
    };
    let all = ["gateway/src", "gateway/export/src"].into_iter().flat_map(sources).filter_map(of);
    all.filter(|(path, _)| !path.starts_with("fuzzing") && !path.contains("tests")).collect()
}

/// Whether there is a `derive` with this name.
fn derives(attributes: &[syn::Attribute], name: &str) -> bool {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    lists
        .filter_map(|attribute| attribute.meta.require_list().ok())
        .any(|list| list.tokens.clone().into_iter().any(|token| token.to_string() == name))
}

/// Types of which `Debug` is derived although they hold what shows itself.
#[derive(Default)]
struct Printing {
    found: Vec<String>,
    shows: bool,
}

impl Printing {
    fn add(&mut self, name: &syn::Ident, attributes: &[syn::Attribute], fields: &mut dyn Iterator<Item = &syn::Field>) {
        self.shows = false;
        fields.for_each(|field| self.visit_type(&field.ty));
        if derives(attributes, "Debug") && self.shows {
            self.found.push(name.to_string());
        }
    }
}

impl<'ast> Visit<'ast> for Printing {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.ident, &item.attrs, &mut item.fields.iter());
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.ident, &item.attrs, &mut item.variants.iter().flat_map(|variant| &variant.fields));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let last = path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if last == "Sensitive" {
            return;
        }
        self.shows |= SHOWN.contains(&last.as_str()) || last == "Vec" && path.segments.last().is_some_and(of_bytes);
        visit::visit_path(self, path);
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.shows |= is_byte(&array.elem);
        visit::visit_type_array(self, array);
    }

    fn visit_type_slice(&mut self, slice: &'ast syn::TypeSlice) {
        self.shows |= is_byte(&slice.elem);
        visit::visit_type_slice(self, slice);
    }
}

fn is_byte(of: &syn::Type) -> bool {
    matches!(of, syn::Type::Path(path) if path.path.is_ident("u8"))
}

/// Whether the type is one of bytes, such as `Vec<u8>`.
fn of_bytes(segment: &syn::PathSegment) -> bool {
    let syn::PathArguments::AngleBracketed(arguments) = &segment.arguments else { return false };
    arguments.args.iter().any(|argument| matches!(argument, syn::GenericArgument::Type(of) if is_byte(of)))
}

#[test]
fn no_debug_prints_what_a_peer_sent() {
    let mut types = 0;
    let mut found = Vec::new();
    for (path, source) in gateway() {
        types +=
            source.syntax.items.iter().filter(|item| matches!(item, syn::Item::Struct(_) | syn::Item::Enum(_))).count();
        if THE_OPERATORS.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let mut printing = Printing::default();
        printing.visit_file(&source.syntax);
        let names =
            printing.found.into_iter().filter(|name| DERIVED_ALL_THE_SAME.iter().all(|(known, _)| known != name));
        found.extend(names.map(|name| format!("{path}: {name}")));
    }
    assert!(types > 300, "only {types} types");
    assert!(
        found.is_empty(),
        "put what a peer sent into a `Sensitive`, or name the type in `sensitive::no_content!` in the place of the derive: \
         {found:#?}"
    );
}

/// Words that bring content out of the types that hide it.
fn exposes(word: &str) -> bool {
    word.starts_with("expose") || word == "into_exposed"
}

/// Looks through a function for content that is exposed and then formatted.
#[derive(Default)]
struct Formatted {
    /// Names that hold exposed content.
    exposed: BTreeSet<String>,
    found: Vec<String>,
}

/// Whether an expression exposes something.
#[derive(Default)]
struct Exposes(bool);

impl<'ast> Visit<'ast> for Exposes {
    fn visit_ident(&mut self, word: &'ast syn::Ident) {
        self.0 |= exposes(&word.to_string());
    }
}

/// The names that a pattern binds.
#[derive(Default)]
struct Names(Vec<String>);

impl<'ast> Visit<'ast> for Names {
    fn visit_pat_ident(&mut self, name: &'ast syn::PatIdent) {
        self.0.push(name.ident.to_string());
        visit::visit_pat_ident(self, name);
    }
}

impl Formatted {
    /// Whether something in the tokens exposes, or names what was exposed, also inside a text with `{name}`.
    fn is_told(&self, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Group(group) => self.is_told(group.stream()),
            TokenTree::Ident(word) => exposes(&word.to_string()) || self.exposed.contains(&word.to_string()),
            TokenTree::Literal(text) => {
                let text = text.to_string();
                self.exposed
                    .iter()
                    .any(|name| text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:")))
            }
            TokenTree::Punct(_) => false,
        })
    }
}

impl<'ast> Visit<'ast> for Formatted {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let outer = self.exposed.clone();
        visit::visit_block(self, block);
        self.exposed = outer;
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let mut exposing = Exposes::default();
        local.init.iter().for_each(|init| exposing.visit_expr(&init.expr));
        let mut names = Names::default();
        names.visit_pat(&local.pat);
        visit::visit_local(self, local);
        for name in names.0 {
            // A new value of the name hides the old one.
            if exposing.0 {
                self.exposed.insert(name)
            } else {
                self.exposed.remove(&name)
            };
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if OUTPUTS.contains(&name.as_str()) && self.is_told(call.tokens.clone()) {
            self.found.push(format!("{}: {name}!", call.path.segments[0].ident.span().start().line));
        }
    }
}

#[test]
fn nothing_that_was_exposed_is_formatted_for_anybody_to_read() {
    let mut found = Vec::new();
    for (path, source) in gateway().into_iter().filter(|(path, _)| !path.starts_with("sanitize/")) {
        let mut formatted = Formatted::default();
        formatted.visit_file(&source.syntax);
        found.extend(formatted.found.into_iter().map(|place| format!("{path}:{place}")));
    }
    assert!(found.is_empty(), "content is written out; ask the sanitiser for a text: {found:#?}");
}

#[test]
fn ways_round_the_types_are_seen() {
    let found = |code: &str| {
        let mut formatted = Formatted::default();
        formatted.visit_file(&syn::parse_file(code).expect("valid"));
        formatted.found.len()
    };
    assert_eq!(found("fn f(p: S) { tracing::debug!(path = %p.expose(), \"told\") }"), 1);
    assert_eq!(found("fn f(p: S) { let (a, b) = (1, p.expose()); tracing::debug!(\"{b}\") }"), 1);
    assert_eq!(found("fn f(p: S) { if x { let b = p.expose_str()?; panic!(\"{b:?}\") } }"), 1);
    assert_eq!(found("fn f(p: S) { let b = p.expose(); g(b); { let b = 1; info!(b) } info!(\"b\") }"), 0);
    let mut printing = Printing::default();
    let code = "#[derive(Debug)] struct A(Vec<u8>); #[derive(Debug)] struct B(Sensitive<Vec<u8>>); struct C(Bytes);";
    printing.visit_file(&syn::parse_file(code).expect("valid"));
    assert_eq!(printing.found, ["A"]);
}
