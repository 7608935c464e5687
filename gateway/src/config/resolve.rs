//! What spans sections: names that have to exist, and the resolved configuration.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::audit::RawAudit;
use super::context::{Context, Keyed, Placed, RouteNames};
use super::error::suggest;
use super::plugin::RawPlugins;
use super::sections::Raw;
use super::{listener, reach};
use crate::model::{Admin, Config, Plugins, Secret, Upstream, UpstreamData};

/// Looks up every name, and builds the config.
pub(super) fn resolve(raw: Raw, context: &mut Context<'_>) -> Option<Config> {
    for placed in raw.listeners.iter().flatten() {
        context.places.listeners.entry(placed.listener.name.clone()).or_insert(placed.name);
    }
    for (name, _) in raw.upstreams.iter().flatten() {
        context.places.upstreams.entry(Arc::from(name.value.as_str())).or_insert(name.position);
    }
    listener::check(raw.listeners.as_deref().unwrap_or_default(), raw.admin.as_ref(), context);
    let names = std::mem::take(&mut context.names);
    check_routes(&names, context);
    check_logged_routes(&names, context);
    if let Some(routes) = &raw.routes {
        reach::check(routes, &names.routes, context);
    }
    if let Some(upstreams) = &raw.upstreams {
        check_names("upstream", &names.upstreams, upstreams, context);
    }
    if let Some(plugins) = &raw.plugins {
        check_plugins(plugins, &names, (raw.upstreams.as_deref(), raw.secrets.as_deref()), context);
    }
    let (has_audit, audit) = raw.audit;
    check_audited(has_audit, &names, raw.upstreams.as_deref().unwrap_or_default(), context);
    if let (Some(audit), Some(secrets)) = (&audit, &raw.secrets) {
        let named: Vec<_> = audit.secrets().cloned().collect();
        check_names("secret", &named, secrets, context);
    }
    let sent_secrets = std::mem::take(&mut context.sent_secrets);
    if let Some(secrets) = &raw.secrets {
        check_sent(&sent_secrets, secrets, context);
    }
    for position in names.traced.iter().filter(|_| !raw.has_tracing) {
        context.warn(*position, "nothing is traced: there is no section \"tracing\"");
    }
    let (mut plugins, upstreams, secrets) = (raw.plugins?, raw.upstreams?, raw.secrets?);
    let own: Vec<&Placed<String>> = sent_secrets.iter().chain(audit.iter().flat_map(RawAudit::secrets)).collect();
    warn_of_unused(&names, &plugins, &upstreams, (&secrets, &own), context);
    let audit = match audit {
        Some(audit) => Some(audit.resolve(&secrets, context)?),
        None if has_audit => return None,
        None => None,
    };

    let upstreams = upstreams.into_iter().filter_map(|(name, upstream)| {
        let name: Arc<str> = Arc::from(name.value);
        Some((name.clone(), Arc::new(Upstream { name, ..upstream? })))
    });
    let grants = std::mem::take(&mut plugins.grants).into_iter();
    let limits = std::mem::take(&mut plugins.limits).into_iter();
    let pins = std::mem::take(&mut plugins.pins).into_iter();
    let plugins = Plugins {
        directory: plugins.directory,
        trusted_keys: plugins.trusted_keys,
        pins: pins.filter_map(|(name, pin)| Some((name.value, pin?))).collect(),
        grants: grants.filter_map(|(name, grants)| Some((name.value, grants?.resolve()))).collect(),
        limits: limits.filter_map(|(name, limits)| Some((name.value, limits?))).collect(),
        compile: plugins.compile,
        cache: plugins.cache,
    };
    Some(Config {
        workers: raw.workers,
        listeners: raw.listeners?.into_iter().map(|placed| placed.listener).collect(),
        upstreams: upstreams.collect(),
        plugins,
        routes: raw.routes?.into_iter().map(Arc::new).collect(),
        secrets: secrets.into_iter().filter_map(|(name, secret)| Some((name.value, secret?))).collect(),
        state: raw.state?,
        admin: raw.admin.map(|address| Admin { address: address.value }),
        access_log: raw.access_log?,
        log: raw.log?,
        metrics: raw.metrics?,
        forwarding: raw.forwarding?,
        credentials: raw.credentials?,
        limits: raw.limits?,
        drain: raw.drain?,
        tracing: raw.tracing,
        audit,
    })
}

/// Names of routes are unique.
fn check_routes(names: &RouteNames, context: &mut Context<'_>) {
    let mut lines = HashMap::new();
    for name in &names.routes {
        match lines.entry(&name.value) {
            Entry::Vacant(entry) => {
                entry.insert(name.position.0);
            }
            Entry::Occupied(line) => {
                let message = format!("the name {} is already used at line {}", name.shown, line.get());
                context.error(name.position, message);
            }
        }
    }
}

/// The routes that conditions of access logs name exist.
fn check_logged_routes(names: &RouteNames, context: &mut Context<'_>) {
    let known = || names.routes.iter().map(|route| route.value.as_str());
    for route in names.logged_routes.iter().filter(|route| known().all(|known| known != route.value)) {
        context.error(route.position, format!("there is no route {}; {}", route.shown, suggest(&route.value, known())));
    }
}

/// What is named exists.
fn check_names<T>(what: &str, names: &[Placed<String>], known: &Keyed<T>, context: &mut Context<'_>) {
    let keys = || known.iter().map(|(key, _)| key.value.as_str());
    let known: HashSet<&str> = keys().collect();
    for name in names.iter().filter(|name| !known.contains(name.value.as_str())) {
        let hint = if known.is_empty() { format!("no {what}s are defined") } else { suggest(&name.value, keys()) };
        context.error(name.position, format!("there is no {what} {}; {hint}", name.shown));
    }
}

/// Plugins come from somewhere, and what they are granted exists.
fn check_plugins(
    plugins: &RawPlugins,
    names: &RouteNames,
    (upstreams, secrets): (Option<&Keyed<Upstream>>, Option<&Keyed<Secret>>),
    context: &mut Context<'_>,
) {
    if let (None, Some(plugin)) = (&plugins.directory, names.plugins.first()) {
        context.error(plugin.position, "plugins need a directory to come from; set plugins.directory");
    }
    for grants in plugins.grants.iter().filter_map(|(_, grants)| grants.as_ref()) {
        if let Some(upstreams) = upstreams {
            check_names("upstream", &grants.upstreams, upstreams, context);
        }
        if let Some(secrets) = secrets {
            check_names("secret", &grants.secrets, secrets, context);
        }
    }
}

/// Routes with an audit trail need one, and their upstreams should say where they are.
fn check_audited(has_audit: bool, names: &RouteNames, upstreams: &Keyed<Upstream>, context: &mut Context<'_>) {
    for (position, upstream) in &names.audited {
        if !has_audit {
            let message = "\"audit\" of a route needs the audit trail: add audit: {directory: ..., pseudonym_key: ...} at the \
                           top level";
            context.error(*position, message);
        }
        let Some(upstream) = upstream else { continue };
        let declared = upstreams.iter().find(|(name, _)| name.value == upstream.value);
        if let Some((_, Some(config))) = declared
            && config.data == UpstreamData::default()
        {
            let message = format!(
                "the route is audited, and its upstream {} has no data: the trail won't say who and where that is",
                upstream.shown
            );
            context.warn(*position, message);
        }
    }
}

/// Secrets that are sent in header fields exist, and fit there.
fn check_sent(names: &[Placed<String>], secrets: &Keyed<Secret>, context: &mut Context<'_>) {
    check_names("secret", names, secrets, context);
    for name in names {
        let secret =
            secrets.iter().find(|(known, _)| known.value == name.value).and_then(|(_, secret)| secret.as_ref());
        if secret.is_some_and(|secret| secret.header_value().is_none()) {
            let message =
                "this secret can't be sent as a header value; it has line breaks or characters outside of ASCII";
            context.error(name.position, message);
        }
    }
}

/// What stands in the file and does nothing.
fn warn_of_unused(
    names: &RouteNames,
    plugins: &RawPlugins,
    upstreams: &Keyed<Upstream>,
    (secrets, own): (&Keyed<Secret>, &[&Placed<String>]),
    context: &mut Context<'_>,
) {
    let granted = || plugins.grants.iter().filter_map(|(_, grants)| grants.as_ref());
    let used: HashSet<&str> = granted()
        .flat_map(|grants| &grants.upstreams)
        .chain(&names.upstreams)
        .map(|name| name.value.as_str())
        .collect();
    for (name, _) in upstreams.iter().filter(|(name, _)| !used.contains(name.value.as_str())) {
        context.warn(name.position, format!("no route and no grant uses the upstream {}", name.shown));
    }
    let used: HashSet<&str> = granted()
        .flat_map(|grants| &grants.secrets)
        .chain(own.iter().copied())
        .map(|name| name.value.as_str())
        .collect();
    for (name, _) in secrets.iter().filter(|(name, _)| !used.contains(name.value.as_str())) {
        context.warn(name.position, format!("no plugin is granted the secret {}", name.shown));
    }
    let used: HashSet<&str> = names.plugins.iter().map(|name| name.value.as_str()).collect();
    let named = plugins.grants.iter().map(|(name, _)| name).chain(plugins.limits.iter().map(|(name, _)| name));
    let named = named.chain(plugins.pins.iter().map(|(name, _)| name));
    for name in named.filter(|name| !used.contains(name.value.as_str())) {
        context.warn(name.position, format!("no route uses the plugin {}", name.shown));
    }
}
