//! Files and functions stay short enough to be read.

use syn::visit::{self, Visit};

use crate::files::{Source, attributes, is_test, lines, sources};

/// Lines of a file without its test modules; what is longer holds more than one concept.
const LONGEST_FILE: usize = 400;
/// Lines of a function, from its signature to its last brace.
const LONGEST_FUNCTION: usize = 80;
/// Longer all the same, each with its reason. At most three in a hundred files may stand here.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("gateway/src/plugin/loads.rs", "the queue of compilations and its state"),
    ("plugins/circuit-breaker/src/breaker.rs", "one state machine"),
];

/// Lines without the items that are there in tests only, wherever in the file they stand.
fn lines_of_code(source: &Source) -> usize {
    let tests = source.syntax.items.iter().filter(|item| is_test(attributes(item)));
    source.text.lines().count() - tests.map(lines).sum::<usize>()
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let sources = sources("");
    assert!(sources.len() > 200, "only {} files", sources.len());
    let long: Vec<_> = sources
        .iter()
        .map(|source| (lines_of_code(source), source.path.as_str()))
        .filter(|(lines, path)| *lines > LONGEST_FILE && EXCEPTIONS.iter().all(|(exception, _)| exception != path))
        .collect();
    assert!(long.is_empty(), "files of more than {LONGEST_FILE} lines without their tests: {long:#?}");
    assert!(EXCEPTIONS.len() * 100 <= sources.len() * 3, "too many exceptions");
}

#[test]
fn every_exception_is_still_needed() {
    let sources = sources("");
    for (path, _reason) in EXCEPTIONS {
        let source = sources.iter().find(|source| source.path == *path);
        let source = source.unwrap_or_else(|| panic!("{path} does not exist"));
        assert!(lines_of_code(source) > LONGEST_FILE, "{path} is short enough without an exception");
    }
}

#[test]
fn lines_after_a_test_module_count() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn a() {}\n}\nfn b() {}\nfn c() {}\n".to_owned();
    let syntax = syn::parse_file(&text).expect("valid");
    assert_eq!(lines_of_code(&Source { path: String::new(), text, syntax }), 3);
}

/// Finds functions, also those in other functions.
#[derive(Default)]
struct Functions(Vec<(usize, String)>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let start = signature.fn_token.span.start().line;
        self.0.push((block.brace_token.span.close().end().line + 1 - start, signature.ident.to_string()));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn no_function_is_too_long_to_be_read() {
    let (mut found, mut long) = (0, Vec::new());
    for source in sources("") {
        let mut functions = Functions::default();
        functions.visit_file(&source.syntax);
        found += functions.0.len();
        let too_long = functions.0.into_iter().filter(|(lines, _)| *lines > LONGEST_FUNCTION);
        long.extend(too_long.map(|(lines, name)| format!("{}: {name}: {lines}", source.path)));
    }
    assert!(found > 1000, "only {found} functions");
    assert!(long.is_empty(), "functions of more than {LONGEST_FUNCTION} lines: {long:#?}");
}
