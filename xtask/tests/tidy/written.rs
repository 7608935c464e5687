//! Whatever the gateway writes to its log is a text that stands in the code, one that `safe!` has put together, or one of the values
//! below, each of which is known to be nobody's but the operator's and the program's own.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::files::{attributes, is_test};
use crate::outputs::gateway;

/// Macros that write to the log, or past it.
const WRITERS: [&str; 10] =
    ["trace", "debug", "info", "warn", "error", "event", "print", "println", "eprint", "eprintln"];

/// What is written as it is: in which files, by which expressions, and where it comes from.
const KNOWN: &[(&str, &[&str], &str)] = &[
    ("access_log/", &["self.target", "target", "self.lost"], "the target of a log, from the configuration; counts"),
    (
        "gateway/",
        &[
            "limit",
            "delay",
            "why",
            "address",
            "version",
            "workers",
            "cores",
            "by",
            "direction",
            "live.local",
            "planned.local",
            "key.transport",
        ],
        "the machine, the gateway's own sockets, settings, and words that stand in the code",
    ),
    ("gateway/", &["awaited", "plugins", "name"], "names of plugins and listeners, from the configuration"),
    (
        "gateway/",
        &["file", "self.path.display()", "notice", "warning", "ConfigErrors::new(errors)"],
        "the configuration, whose messages leave out what secrets and the environment hold (`config/secrecy.rs`)",
    ),
    (
        "audit/",
        &["explain(error)", "count", "segment", "cut", "damaged", "settings.signing_key.is_some()"],
        "counts, and words that stand in the code",
    ),
    ("audit/", &["directory", "settings.gateway", "chain"], "the configuration, of which the names of chains are made"),
    ("gateway/", &["head"], "the name of a chain, the number of its last record, and that one's hash"),
    ("listener/", &["certificate", "from", "until"], "a file that the configuration names, and the dates in it"),
    (
        "plugin/",
        &[
            "plugin",
            "route",
            "self.plugin",
            "self.route",
            "entry.name",
            "entry.route",
            "name",
            "self.name",
            "job.name",
            "manifest.name",
        ],
        "names of plugins and routes, from the configuration, and a plugin's own",
    ),
    (
        "plugin/",
        &["version", "hash", "signed_by", "line", "directory.display()", "text"],
        "files that the operator has put there",
    ),
    (
        "plugin/",
        &["passed_by", "dropped", "pause_ms", "took", "elapsed", "memory", "what"],
        "counts, times, and words that stand in the code",
    ),
    (
        "plugin/",
        &["message"],
        "a plugin's message, without words that are not its own and without secrets (`plugin/host/own_words.rs`)",
    ),
    (
        "protocol/",
        &["listener.name", "context.listener.name", "first.config.name", "info.listener", "listener.listener.name"],
        "names of listeners",
    ),
    ("protocol/", &["malformed.text()", "violation.what", "flood"], "words that stand in the code"),
    (
        "upstream/",
        &["upstream", "name", "endpoint", "addresses"],
        "names of upstreams and endpoints, from the configuration, and their addresses",
    ),
    (
        "upstream/",
        &["failures", "tried_again_after", "after", "kind", "what", "added", "ignored"],
        "settings, counts, times, and words that stand in the code",
    ),
    ("watch.rs", &["path.display()"], "a file that the configuration names"),
    ("worker/", &["local"], "the gateway's own socket"),
    (
        "export/",
        &["endpoint", "unsent", "items", "self.signal.items()", "notice"],
        "the collector, from the configuration; counts and times",
    ),
    (
        "export/",
        &["failure"],
        "a status or a code, and the words of `export/src/failure.rs`, in which no peer has a part",
    ),
];

/// What calls of these macros show, by line and expression.
#[derive(Default)]
struct Shown(Vec<(usize, String)>);

impl Shown {
    fn arguments(&mut self, tokens: TokenStream) {
        let mut argument = Vec::new();
        for token in tokens {
            match &token {
                TokenTree::Punct(comma) if comma.as_char() == ',' => self.argument(&std::mem::take(&mut argument)),
                _ => argument.push(token),
            }
        }
        self.argument(&argument);
    }

    /// One of them: `%value`, `name = ?value`, `value`, or a text with `{value}`.
    fn argument(&mut self, tokens: &[TokenTree]) {
        let Some(first) = tokens.first() else { return };
        let line = first.span().start().line;
        if let [TokenTree::Literal(text)] = tokens {
            return self.0.extend(names_in(&text.to_string()).map(|name| (line, name)));
        }
        let is = |token: &TokenTree, mark: char| matches!(token, TokenTree::Punct(it) if it.as_char() == mark);
        // `target: "plugin"`.
        if tokens.get(1).is_some_and(|token| is(token, ':')) && tokens.get(2).is_some_and(|token| !is(token, ':')) {
            return;
        }
        let value = tokens.iter().position(|token| is(token, '=')).map_or(tokens, |at| &tokens[at + 1..]);
        let value = &value[value.iter().take_while(|token| "%?&*".chars().any(|mark| is(token, mark))).count()..];
        if !value.iter().any(is_made) && !matches!(value, [TokenTree::Literal(_)]) {
            self.0.push((line, value.iter().map(ToString::to_string).collect::<String>().replace(' ', "")));
        }
    }
}

/// Whether it is, or has in it, what `safe!` puts together.
fn is_made(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(word) => word == "safe",
        TokenTree::Group(group) => group.stream().into_iter().any(|token| is_made(&token)),
        _ => false,
    }
}

/// The names in the braces of a text.
fn names_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let inside = text.split('{').skip(1).filter_map(|rest| rest.split(['}', ':']).next());
    inside.filter(|name| !name.is_empty()).map(str::to_owned)
}

impl<'ast> Visit<'ast> for Shown {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if WRITERS.contains(&name.as_str()) {
            self.arguments(call.tokens.clone());
        }
    }
}

/// The command line answers who started it, and is not looked at.
#[test]
fn the_log_is_written_of_what_is_nobodys_alone() {
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    for (path, source) in gateway().into_iter().filter(|(path, _)| !path.starts_with("cli/")) {
        let mut shown = Shown::default();
        shown.visit_file(&source.syntax);
        for (line, value) in shown.0 {
            let known =
                |(below, values, _): &(&str, &[&str], &str)| path.starts_with(below) && values.contains(&&*value);
            match KNOWN.iter().position(known) {
                Some(at) => drop(used.insert((at, value))),
                None => found.push(format!("{path}:{line}: {value}")),
            }
        }
    }
    assert!(found.is_empty(), "write name = %safe!(value), or say here where it comes from: {found:#?}");
    let all = KNOWN
        .iter()
        .enumerate()
        .flat_map(|(at, (_, values, _))| values.iter().map(move |value| (at, (*value).to_owned())));
    let unused: Vec<_> = all.filter(|known| !used.contains(known)).map(|(at, value)| (KNOWN[at].0, value)).collect();
    assert!(unused.is_empty(), "no longer written: {unused:?}");
}

#[test]
fn whatever_is_written_is_seen() {
    let found = |code: &str| {
        let mut shown = Shown::default();
        shown.visit_file(&syn::parse_file(&format!("fn f() {{ {code} }}")).expect("valid"));
        shown.0.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
    };
    for (code, expected) in [
        ("%error, \"a\"", "error"),
        ("what = ?error, \"a\"", "error"),
        ("a = %b.c(), e = %*panic, count, \"a {x} {y:?} {}\", &z", "b.c() panic count x y z"),
        ("target: \"plugin\", plugin, \"{message}\"", "plugin message"),
        ("error = %safe!(error), n = 1, \"a\"", ""),
        ("\"an error\"", ""),
    ] {
        assert_eq!(found(&format!("tracing::debug!({code})")), expected, "{code}");
    }
    assert_eq!(found("#[cfg(test)] mod tests { fn f() { eprintln!(\"{x}\") } }"), "");
}
