//! What a plugin may reach: its imports are its request, the operator's grants are the answer.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::error::{LoadError, sanitise};
use crate::model::Grants;

/// Interfaces of the contract, and whether using one needs a grant.
const INTERFACES: [(&str, Option<Need>); 11] = [
    ("types", None),
    ("http", None),
    ("sys", None),
    ("crypto", None),
    ("kv", None),
    ("counters", None),
    ("metrics", None),
    // Ids that say nothing, and notes that are bounded and bear the plugin's name.
    ("trace", None),
    ("audit", None),
    ("secrets", Some(Need::Secrets)),
    ("calls", Some(Need::Upstreams)),
];

/// A grant that an import asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// `calls`.
    Upstreams,
    /// `secrets`.
    Secrets,
}

impl Need {
    /// The key under `plugins.grants.NAME`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Upstreams => "upstreams",
            Self::Secrets => "secrets",
        }
    }

    /// The interface that asks for it.
    const fn import(self) -> &'static str {
        match self {
            Self::Upstreams => "calls",
            Self::Secrets => "secrets",
        }
    }

    /// What stands for a value of the key in messages.
    const fn example(self) -> &'static str {
        match self {
            Self::Upstreams => "UPSTREAM",
            Self::Secrets => "SECRET",
        }
    }
}

/// The grant that a function of an interface which asks for none can make use of, with the function as authors know it: what
/// it reaches is named by the plugin's config, so a plugin that never does needs no grant.
pub(crate) fn use_of(function: &str) -> Option<(Need, &'static str)> {
    if function.ends_with("from-secret") {
        Some((Need::Secrets, "crypto::Key::from_secret"))
    } else if function.ends_with("set-upstream") {
        Some((Need::Upstreams, "Exchange::set_upstream"))
    } else {
        None
    }
}

/// What is said where a plugin asks for something by a name that it is not granted.
pub(crate) fn refusal(plugin: &str, need: Need, name: &str) -> String {
    // The name comes from the guest.
    let name = sanitise(name, 64);
    let (what, key) = match need {
        Need::Upstreams => ("upstream", need.key()),
        Need::Secrets => ("secret", need.key()),
    };
    format!(
        "the {what} `{name}` is not granted to the plugin `{plugin}`; add it to the configuration: `plugins: {{grants: \
         {{{plugin}: {{{key}: [{name}]}}}}}}`, and under `{key}` itself if it is not there"
    )
}

/// What an entry was refused so far.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<BTreeSet<(Need, String)>>);

impl Refused {
    /// Names that are remembered, and said, of one entry.
    const MOST: usize = 16;

    pub(super) fn is_new(&self, need: Need, name: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::MOST && known.insert((need, sanitise(name, 64)))
    }
}

/// The contract's package and the version that this host speaks.
pub(crate) const PACKAGE: &str = "edge:gateway";
/// See [`PACKAGE`].
pub(crate) const VERSION: &str = "0.1.0";

/// Judges one import by name: `Ok` with the grant that it needs.
pub(crate) fn classify(import: &str) -> Result<Option<Need>, LoadError> {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = path.split_once('/') else { return Err(foreign(import)) };
    if package != PACKAGE {
        return Err(foreign(import));
    }
    let Some((_, need)) = INTERFACES.iter().find(|(name, _)| *name == interface) else {
        return Err(LoadError::Import(format!(
            "imports `{import}`, which the contract {PACKAGE}@{VERSION} does not have; is it built for a newer gateway?"
        )));
    };
    // A patch release adds nothing that an older host lacks the meaning of: 0.1.x fits 0.1.y.
    if !compatible(version) {
        return Err(LoadError::Version { found: format!("{PACKAGE}@{version}") });
    }
    Ok(*need)
}

/// Whether a contract version can be served by this host.
pub(crate) fn compatible(version: &str) -> bool {
    version.strip_prefix("0.1.").is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

fn foreign(import: &str) -> LoadError {
    let hint = if import.starts_with("wasi") {
        "plugins have no WASI; build for wasm32-unknown-unknown"
    } else if import.starts_with("__wbindgen") {
        "a dependency expects a browser (wasm-bindgen); turn off its `js` feature"
    } else {
        "a plugin reaches only what the contract gives; build it with the plugin SDK"
    };
    LoadError::Import(format!("imports `{import}`, which is outside the contract: {hint}"))
}

/// Whether a manifest says that the plugin has use also where nothing is granted to it.
pub(crate) fn are_optional(attributes: &[(String, String)]) -> bool {
    attributes.iter().any(|(name, value)| name == "grants" && value == "optional")
}

/// Refuses a plugin whose imports need grants about which the operator has said nothing (`grants` is none). An entry
/// that grants nothing is a decision as well: the plugin loads, and each call of that kind is denied. So it is with one
/// whose grants are `optional`, which gets nothing by saying so.
pub(crate) fn check(plugin: &str, needs: &[Need], optional: bool, grants: Option<&Grants>) -> Result<(), LoadError> {
    if needs.is_empty() || optional || grants.is_some() {
        return Ok(());
    }
    let list = |word: fn(Need) -> String| needs.iter().copied().map(word).collect::<Vec<_>>();
    let imports = list(|need| format!("`{}`", need.import())).join(" and ");
    let example = list(|need| format!("{}: [{}]", need.key(), need.example())).join(", ");
    let them = if needs.len() == 1 { "it" } else { "them" };
    Err(LoadError::Grant(format!(
        "imports {imports} and has no grant for {them}; where that is wanted, add to the configuration \
         `plugins: {{grants: {{{plugin}: {{{example}}}}}}}`, or `[]` to load it with every such call denied"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_the_capability_request() {
        assert_eq!(classify("edge:gateway/http@0.1.0"), Ok(None));
        assert_eq!(classify("edge:gateway/crypto@0.1.7"), Ok(None));
        assert_eq!(classify("edge:gateway/trace@0.1.0"), Ok(None));
        assert_eq!(classify("edge:gateway/audit@0.1.0"), Ok(None));
        assert_eq!(classify("edge:gateway/calls@0.1.0"), Ok(Some(Need::Upstreams)));
        assert_eq!(classify("edge:gateway/secrets@0.1.0"), Ok(Some(Need::Secrets)));
        assert_eq!(
            classify("edge:gateway/http@0.2.0"),
            Err(LoadError::Version { found: "edge:gateway@0.2.0".to_owned() })
        );
        let message = classify("wasi:cli/environment@0.2.6").unwrap_err().to_string();
        assert!(message.contains("wasm32-unknown-unknown"), "{message}");
        assert!(classify("edge:gateway/sockets@0.1.0").is_err());
        assert!(classify("env").is_err());
    }

    #[test]
    fn a_refusal_shows_what_to_add() {
        let message = check("auth", &[Need::Upstreams], false, None).unwrap_err().to_string();
        assert!(message.contains("plugins: {grants: {auth: {upstreams: [UPSTREAM]}}}"), "{message}");
        let message = check("auth", &[Need::Upstreams, Need::Secrets], false, None).unwrap_err().to_string();
        assert!(message.contains("`calls` and `secrets`"), "{message}");
        assert!(message.contains("{auth: {upstreams: [UPSTREAM], secrets: [SECRET]}}"), "all at once: {message}");
        let some = Grants { upstreams: vec!["idp".to_owned()], secrets: vec![] };
        assert_eq!(check("auth", &[Need::Upstreams], false, Some(&some)), Ok(()));
        assert_eq!(check("auth", &[Need::Upstreams, Need::Secrets], false, Some(&Grants::default())), Ok(()));
        assert_eq!(check("plain", &[], false, None), Ok(()));
    }

    #[test]
    fn a_plugin_that_says_so_loads_without_a_grant() {
        let says = |name: &str, value: &str| are_optional(&[(name.to_owned(), value.to_owned())]);
        assert!(says("grants", "optional") && !says("grants", "needed") && !says("other", "optional"));
        assert_eq!(check("auth", &[Need::Upstreams], true, None), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_plugin_and_what_it_asked_for_and_what_to_write() {
        let message = refusal("pii-redact", Need::Secrets, "pii-hash");
        assert!(message.contains("the secret `pii-hash` is not granted to the plugin `pii-redact`"), "{message}");
        assert!(message.contains("plugins: {grants: {pii-redact: {secrets: [pii-hash]}}}"), "{message}");
        let message = refusal("auth", Need::Upstreams, "idp\n");
        assert!(message.contains("{auth: {upstreams: [idp\u{fffd}]}}"), "{message}");
    }
}
