//! Configuration: YAML text → positioned tree → [`model::Config`](crate::model::Config), with every mistake reported at once.
//!
//! `tree` reads the text, fills in the environment and keeps positions. The other files declare one section each, by
//! the means of `fields`: key, type, default and description stand in one place, from which come the parser, the
//! messages about unknown keys and [`schema()`]. What spans sections (names that have to exist) is checked here.

mod contents;
mod diff;
mod drain;
mod error;
mod fields;
mod json;
mod listener;
mod names;
mod plugin;
mod reach;
mod route;
mod schema;
mod secrecy;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod upstream;
mod value;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;

pub use contents::Contents;
pub use diff::{Diff, SocketChanges, diff};
pub(crate) use error::nearest;
pub use error::{ConfigError, ConfigErrors};
pub use schema::schema;

use crate::model::{
    AccessLog, Admin, Config, Drain, Forwarding, Limits, Log, LogTarget, Plugins, Secret, State, Upstream,
};
use error::suggest;
use fields::{Context, Fields, Object, RouteNames, parse as parse_node};
use listener::PlacedListener;
use plugin::RawPlugins;
use settings::{AccessLogFields, Included};
use tree::Position;
use types::{Integer, List, Named, NonEmpty, ObjectOr, OrOff, Parsed, Placed, text};

use crate::watch::read_settled;

/// A config file that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Every file that was read or is named: the config file, certificates, keys, CA files, secrets. What is used of them
    /// was in them when this was noted, or came later; never earlier.
    pub contents: Contents,
    /// Where things stand that can turn out wrong later.
    pub places: Places,
    /// What is allowed but odd, such as an upstream that nothing uses.
    pub warnings: Vec<ConfigError>,
}

/// Line and column of what can turn out wrong only after the config was read. The first place, where there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    files: HashMap<PathBuf, Position>,
    listeners: HashMap<Arc<str>, Position>,
    upstreams: HashMap<Arc<str>, Position>,
}

impl Places {
    /// Where a file is named.
    pub fn file(&self, file: &Path) -> Option<Position> {
        self.files.get(file).copied()
    }

    /// Where a listener's name stands.
    pub fn listener(&self, name: &str) -> Option<Position> {
        self.listeners.get(name).copied()
    }

    /// Where an upstream's name stands.
    pub fn upstream(&self, name: &str) -> Option<Position> {
        self.upstreams.get(name).copied()
    }
}

/// Reads a config file, with the process's environment.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let bytes = whole(path, read_settled(path, tree::MAX_BYTES as u64))?;
    let mut contents = Contents::default();
    contents.note(path, &bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        let column = String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1;
        ConfigErrors::from(ConfigError::new(path, (line, column), "this is not UTF-8; save the file as UTF-8"))
            .with_contents(contents)
    })?;
    parse_all(&text, path, &|name| std::env::var(name).ok())
}

/// What was read of a config file, where it is the whole.
fn whole(path: &Path, read: io::Result<Option<Vec<u8>>>) -> Result<Vec<u8>, ConfigErrors> {
    let mut contents = Contents::default();
    let message = match read {
        Ok(Some(bytes)) => return Ok(bytes),
        Ok(None) => {
            contents.miss(path);
            "changed while it was read; write a new file and rename it into place".to_owned()
        }
        Err(error) => {
            contents.add(path);
            let tried = std::path::absolute(path).ok().filter(|absolute| absolute != path);
            let tried = tried.map(|tried| format!("; tried {}", tried.display())).unwrap_or_default();
            format!("can't be read: {error}{tried}")
        }
    };
    Err(ConfigErrors::from(ConfigError::of_file(path, message)).with_contents(contents))
}

/// Parses a config. `file` is for messages, and its directory is where relative paths start.
pub fn parse(text: &str, file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    parse_all(text, file, env).map(|loaded| loaded.config)
}

/// As [`parse`], with the files that the config names and with warnings.
pub fn parse_all(text: &str, file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let mut contents = Contents::default();
    contents.note(file, text.as_bytes());
    let tree = tree::parse(text, file, env).map_err(|errors| errors.with_contents(contents.clone()))?;
    // Whatever is said of a file later names the path that was tried.
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = absolute.parent().unwrap_or(Path::new(""));
    let mut context = Context {
        file,
        directory,
        environment: env,
        errors: tree.errors,
        warnings: Vec::new(),
        contents,
        places: Places::default(),
        names: RouteNames::default(),
    };
    let raw = parse_node(&Object(sections), &tree.root, &mut context);
    let config = raw.and_then(|raw| raw.resolve(&mut context));
    let Context { mut errors, mut warnings, contents, places, .. } = context;
    match config {
        Some(config) if errors.is_empty() => {
            warnings.sort();
            Ok(Loaded { config, contents, places, warnings })
        }
        _ => {
            if errors.is_empty() {
                // Unreachable as long as whoever gives `None` notes an error; better said than believed.
                errors.push(ConfigError::new(file, (1, 1), "the config could not be read"));
            }
            Err(ConfigErrors::new(errors).with_contents(contents))
        }
    }
}

/// The sections, before names were looked up. Sections that were wrong are missing, so that the others are checked.
struct Raw {
    workers: usize,
    listeners: Option<Vec<PlacedListener>>,
    upstreams: Option<Vec<(Placed<String>, Option<Upstream>)>>,
    plugins: Option<RawPlugins>,
    routes: Option<Vec<crate::model::Route>>,
    secrets: Option<Vec<(Placed<String>, Option<Secret>)>>,
    state: Option<State>,
    admin: Option<Placed<std::net::SocketAddr>>,
    access_log: Option<AccessLogFields>,
    log: Option<Log>,
    forwarding: Option<Forwarding>,
    credentials: Option<Vec<HeaderName>>,
    limits: Option<Limits>,
    drain: Option<Drain>,
}

/// The top level.
fn sections(fields: &mut Fields<'_, '_>) -> Option<Raw> {
    let workers = fields.optional("workers", "Worker threads; by default one per core.", Integer(1..=1024));
    let listeners = fields.required("listeners", "Where clients connect.", NonEmpty(Object(listener::listener)));
    let upstreams = fields.default(
        "upstreams",
        "Services behind the gateway, by name.",
        Named { key: names::key, value: Object(upstream::upstream) },
        "{}",
    );
    let plugins =
        fields.default("plugins", "The plugin directory, and what plugins may reach.", Object(plugin::plugins), "{}");
    let routes = fields.required(
        "routes",
        "What to do with requests. The most specific match wins; the order only decides between equals.",
        List(Object(route::route)),
    );
    let secrets = fields.default(
        "secrets",
        "Secrets by name, for plugins that are granted them.",
        Named { key: names::key, value: Object(settings::secret) },
        "{}",
    );
    let state = fields.default("state", "Where plugins keep what they remember.", Object(settings::state), "{}");
    let admin = fields.default(
        "admin",
        "The admin listener: /healthz, /readyz, /metrics, /plugins. off (the default) opens no port.",
        OrOff(Object(settings::admin)),
        "off",
    );
    let access_log = fields.default(
        "access_log",
        "One line per request, or off.",
        ObjectOr { object: Object(settings::access_log), other: ACCESS_LOG_OFF },
        "{}",
    );
    let log = fields.default("log", "The gateway's own messages, on stderr.", Object(settings::log), "{}");
    let forwarding = fields.default(
        "forwarding",
        "What is believed of, and told to, other proxies.",
        Object(settings::forwarding),
        "{}",
    );
    let credentials = fields.default(
        "credentials",
        "Header fields by which callers are known, besides Authorization, Cookie and all whose names tell (see Stored \
         responses).",
        List(text(names::header_name)),
        "[]",
    );
    let limits = fields.default("limits", "Limits of the whole process.", Object(settings::limits), "{}");
    let drain = drain::section(fields);
    // Only here, and not by `?`: each section that is right takes part in the checks between sections. While the schema
    // is made there is no context, and this leaves.
    fields.context()?;
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Some(Raw {
        workers: workers.and_then(|workers| usize::try_from(workers).ok()).unwrap_or_else(cores),
        listeners,
        upstreams,
        plugins,
        routes,
        secrets,
        state,
        admin: admin.flatten(),
        access_log,
        log,
        forwarding,
        credentials,
        limits,
        drain,
    })
}

const ACCESS_LOG_OFF: Parsed<AccessLogFields> = Parsed {
    hint: |_| None,
    parse: |text| match text {
        "off" => Ok(AccessLogFields { target: None, off: true, include: Vec::new() }),
        _ => Err("is not an access log; write an object such as {path: stdout}, or off".to_owned()),
    },
    schema: || serde_json::json!({"const": "off"}),
};

impl Raw {
    /// Looks up every name, and builds the config.
    fn resolve(self, context: &mut Context<'_>) -> Option<Config> {
        for placed in self.listeners.iter().flatten() {
            context.places.listeners.entry(placed.listener.name.clone()).or_insert(placed.name);
        }
        for (name, _) in self.upstreams.iter().flatten() {
            context.places.upstreams.entry(Arc::from(name.value.as_str())).or_insert(name.position);
        }
        listener::check(self.listeners.as_deref().unwrap_or_default(), self.admin.as_ref(), context);
        let names = std::mem::take(&mut context.names);
        check_routes(&names, context);
        if let Some(routes) = &self.routes {
            reach::check(routes, &names.routes, context);
        }
        if let Some(upstreams) = &self.upstreams {
            check_names("upstream", &names.upstreams, upstreams, context);
        }
        if let Some(plugins) = &self.plugins {
            if let (None, Some(plugin)) = (&plugins.directory, names.plugins.first()) {
                context.error(plugin.position, "plugins need a directory to come from; set plugins.directory");
            }
            for grants in plugins.grants.iter().filter_map(|(_, grants)| grants.as_ref()) {
                if let Some(upstreams) = &self.upstreams {
                    check_names("upstream", &grants.upstreams, upstreams, context);
                }
                if let Some(secrets) = &self.secrets {
                    check_names("secret", &grants.secrets, secrets, context);
                }
            }
        }
        let (mut plugins, upstreams, secrets) = (self.plugins?, self.upstreams?, self.secrets?);
        warn_of_unused(&names, &plugins, &upstreams, &secrets, context);

        let upstreams = upstreams.into_iter().filter_map(|(name, upstream)| {
            let name: Arc<str> = Arc::from(name.value);
            Some((name.clone(), Arc::new(Upstream { name, ..upstream? })))
        });
        let grants = std::mem::take(&mut plugins.grants).into_iter();
        let limits = std::mem::take(&mut plugins.limits).into_iter();
        let plugins = Plugins {
            directory: plugins.directory,
            grants: grants.filter_map(|(name, grants)| Some((name.value, grants?.resolve()))).collect(),
            limits: limits.filter_map(|(name, limits)| Some((name.value, limits?))).collect(),
            compile: plugins.compile,
            cache: plugins.cache,
        };
        Some(Config {
            workers: self.workers,
            listeners: self.listeners?.into_iter().map(|placed| placed.listener).collect(),
            upstreams: upstreams.collect(),
            plugins,
            routes: self.routes?.into_iter().map(Arc::new).collect(),
            secrets: secrets.into_iter().filter_map(|(name, secret)| Some((name.value, secret?))).collect(),
            state: self.state?,
            admin: self.admin.map(|address| Admin { address: address.value }),
            access_log: access_log(&self.access_log?),
            log: self.log?,
            forwarding: self.forwarding?,
            credentials: self.credentials?,
            limits: self.limits?,
            drain: self.drain?,
        })
    }
}

fn access_log(fields: &AccessLogFields) -> AccessLog {
    let target: LogTarget = fields.target();
    AccessLog {
        target,
        full_address: fields.include.contains(&Included::ClientAddress),
        full_path: fields.include.contains(&Included::Path),
        request_headers: fields
            .include
            .iter()
            .filter_map(|included| match included {
                Included::RequestHeader(name) => Some(name.clone()),
                Included::ClientAddress | Included::Path => None,
            })
            .collect(),
    }
}

type Keyed<T> = [(Placed<String>, Option<T>)];

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

/// What is named exists.
fn check_names<T>(what: &str, names: &[Placed<String>], known: &Keyed<T>, context: &mut Context<'_>) {
    let keys = || known.iter().map(|(key, _)| key.value.as_str());
    let known: HashSet<&str> = keys().collect();
    for name in names.iter().filter(|name| !known.contains(name.value.as_str())) {
        let hint = if known.is_empty() { format!("no {what}s are defined") } else { suggest(&name.value, keys()) };
        context.error(name.position, format!("there is no {what} {}; {hint}", name.shown));
    }
}

/// What stands in the file and does nothing.
fn warn_of_unused(
    names: &RouteNames,
    plugins: &RawPlugins,
    upstreams: &Keyed<Upstream>,
    secrets: &Keyed<Secret>,
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
    let used: HashSet<&str> = granted().flat_map(|grants| &grants.secrets).map(|name| name.value.as_str()).collect();
    for (name, _) in secrets.iter().filter(|(name, _)| !used.contains(name.value.as_str())) {
        context.warn(name.position, format!("no plugin is granted the secret {}", name.shown));
    }
    let used: HashSet<&str> = names.plugins.iter().map(|name| name.value.as_str()).collect();
    let named = plugins.grants.iter().map(|(name, _)| name).chain(plugins.limits.iter().map(|(name, _)| name));
    for name in named.filter(|name| !used.contains(name.value.as_str())) {
        context.warn(name.position, format!("no route uses the plugin {}", name.shown));
    }
}
