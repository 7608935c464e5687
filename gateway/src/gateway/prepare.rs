//! Everything of a configuration that can turn out wrong after it was read, tried beside what runs: plugins, certificates,
//! upstreams. One function for the start, a reload and `gateway check`, so that they refuse the same, and tell every
//! mistake at once with its place in the file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::error::ApplyError;
use telemetry_export::Collector;

use super::push;
use crate::config::{self, ConfigError, ConfigErrors, Loaded, Places};
use crate::listener::tls::{Certificates, TlsError};
use crate::model::Config;
use crate::plugin::{Accepted, Compiler, Findings, Host, HostOptions, Judgement, PluginProblem, Registry};
use crate::snapshot::{self, Snapshot, Upstreams};
use crate::telemetry::collector::InvalidCollector;
use crate::telemetry::metrics::CertificateExpiry;
use crate::telemetry::spans::SpanExport;
use crate::upstream::InvalidUpstream;

/// Certificates by the name of their listener.
pub(super) type ListenerCertificates = HashMap<Arc<str>, Arc<Certificates>>;

/// What a configuration needs, made and not in force.
pub(super) struct Parts {
    pub(super) plugins: Accepted,
    pub(super) upstreams: Upstreams,
    pub(super) certificates: ListenerCertificates,
    /// Where metrics are sent.
    pub(super) metrics_collector: Option<Collector>,
    /// Where spans go: the export of the configuration in force, where its settings are the same.
    pub(super) spans: Option<Arc<SpanExport>>,
}

/// What came of trying a configuration.
pub(super) struct Tried {
    /// What was found out about plugin files, also where the configuration is refused.
    pub(super) findings: Findings,
    pub(super) parts: Result<Parts, Unready>,
}

/// Why there are no parts.
pub(super) enum Unready {
    /// Everything that is wrong, as far as it is known.
    Wrong(ConfigErrors),
    /// Nothing is, but these plugins are still being compiled. Only beside what runs: a start waits for them.
    Waits(Vec<Arc<str>>),
}

impl Unready {
    /// The errors, where nothing was left open.
    pub(super) fn errors(self) -> ConfigErrors {
        match self {
            Self::Wrong(errors) => errors,
            Self::Waits(_) => ConfigErrors::new(Vec::new()),
        }
    }
}

/// Makes the parts of a configuration. What blocks runs where it blocks nobody. Beside what runs (`previous`) it does not
/// wait for the compiler.
pub(super) async fn prepare(
    file: &Path,
    config: &Arc<Config>,
    places: &Places,
    registry: Arc<Registry>,
    previous: Option<&Snapshot>,
) -> Tried {
    let waits = previous.is_none();
    let blocking = {
        let config = config.clone();
        let judge = if waits { Registry::judge } else { Registry::judge_now };
        tokio::task::spawn_blocking(move || {
            (judge(&registry, &config), certificates(&config), push::collector(&config))
        })
    };
    let (blocking, upstreams) = tokio::join!(blocking, snapshot::upstreams(config, previous));
    let (Judgement { findings, verdict, awaited }, certificates, collector) = match blocking {
        Ok(done) => done,
        Err(panic) => {
            let error = ConfigError::new(file, (1, 1), format!("trying the plugins failed: {panic}"));
            return Tried { findings: Findings::default(), parts: Err(Unready::Wrong(error.into())) };
        }
    };
    let mut errors = Vec::new();
    let plugins = verdict.map_err(|problems| errors.extend(plugin_errors(file, config, &problems)));
    let certificates = certificates.map_err(|wrong| {
        errors.extend(wrong.iter().map(|(listener, error)| certificate_error(file, places, listener, error)));
    });
    let collector = collector.map_err(|error| errors.push(collector_error(file, places, "metrics.export", &error)));
    let upstreams =
        upstreams.map_err(|wrong| errors.extend(wrong.iter().map(|error| upstream_error(file, places, error))));
    let spans = SpanExport::new_or_reuse(config, previous.and_then(|snapshot| snapshot.spans.as_ref()));
    let spans = spans.map_err(|error| errors.push(collector_error(file, places, "tracing.export", &error)));
    let parts = match (plugins, certificates, upstreams, collector, spans) {
        (Ok(plugins), Ok(certificates), Ok(upstreams), Ok(metrics_collector), Ok(spans)) => {
            Ok(Parts { plugins, upstreams, certificates, metrics_collector, spans })
        }
        _ if errors.is_empty() => Err(Unready::Waits(awaited)),
        _ => Err(Unready::Wrong(ConfigErrors::new(errors))),
    };
    Tried { findings, parts }
}

/// What a check found that is no mistake.
pub struct Checked {
    /// What does nothing, or will surprise.
    pub warnings: Vec<ConfigError>,
    /// The plugins that have to be signed or pinned, each with who vouches for it.
    pub vouched: Vec<String>,
}

/// Checks a configuration and every plugin that it uses without serving anything.
pub fn check(file: &Path, compiler: Compiler) -> Result<Checked, ApplyError> {
    let Loaded { config, places, warnings, .. } = config::load(file).map_err(ApplyError::Config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ApplyError::system("starting a runtime"))?;
    // A check leaves nothing behind, for whomever it runs.
    let (compiler, cache) = (Some(compiler), cache_directory());
    let host = Host::new(HostOptions { compiler, cache, makes_cache: false, ..HostOptions::default() });
    let registry = Arc::new(Registry::new(host));
    let tried = runtime.block_on(prepare(file, &Arc::new(config), &places, registry, None));
    let parts = tried.parts.map_err(|unready| ApplyError::Config(unready.errors()))?;
    Ok(Checked { warnings, vouched: parts.plugins.vouched() })
}

/// Tries the version of one plugin that lies in `directory` with the entries that name it, and nothing else. Gives back in
/// how many routes those are.
pub fn try_plugin(
    mut config: Config,
    directory: &Path,
    compiler: Compiler,
    name: &str,
) -> Result<usize, Vec<PluginProblem>> {
    config.plugins.directory = Some(directory.to_owned());
    config.routes.iter_mut().for_each(|route| Arc::make_mut(route).plugins.retain(|entry| *entry.name == *name));
    let routes = config.routes.iter().filter(|route| !route.plugins.is_empty()).count();
    let (compiler, cache) = (Some(compiler), cache_directory());
    let host = Host::new(HostOptions { compiler, cache, makes_cache: false, ..HostOptions::default() });
    Registry::new(host).judge(&config).verdict.map(|_| routes)
}

/// The certificates of every listener, or everything that is wrong with them.
fn certificates(config: &Config) -> Result<ListenerCertificates, Vec<(Arc<str>, TlsError)>> {
    let (mut loaded, mut errors) = (HashMap::new(), Vec::new());
    for listener in &config.listeners {
        match listener.tls.as_ref().map(Certificates::load) {
            None => {}
            Some(Ok(certificates)) => drop(loaded.insert(listener.name.clone(), certificates)),
            Some(Err(wrong)) => errors.extend(wrong.into_iter().map(|error| (listener.name.clone(), error))),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(errors) }
}

/// When each of them expires.
pub(super) fn expiries(certificates: &ListenerCertificates) -> Vec<CertificateExpiry> {
    let of = |(listener, certificates): (&Arc<str>, &Arc<Certificates>)| {
        let expiry = |(certificate, not_after): &(String, SystemTime)| CertificateExpiry {
            listener: listener.clone(),
            certificate: certificate.clone(),
            not_after: *not_after,
        };
        certificates.expiries().iter().map(expiry).collect::<Vec<_>>()
    };
    certificates.iter().flat_map(of).collect()
}

fn certificate_error(file: &Path, places: &Places, listener: &str, error: &TlsError) -> ConfigError {
    let place = error.file().and_then(|file| places.file(file)).or_else(|| places.listener(listener));
    ConfigError::new(file, place.unwrap_or((1, 1)), format!("listener `{listener}`: {error}"))
}

fn upstream_error(file: &Path, places: &Places, error: &InvalidUpstream) -> ConfigError {
    let place = error.file().and_then(|file| places.file(file)).or_else(|| places.upstream(error.upstream()));
    ConfigError::new(file, place.unwrap_or((1, 1)), error.to_string())
}

/// What is wrong with the collector that this key names: at the place of a file of it, where that is to blame.
fn collector_error(file: &Path, places: &Places, key: &str, error: &InvalidCollector) -> ConfigError {
    let place = error.file().and_then(|file| places.file(file));
    ConfigError::new(file, place.unwrap_or((1, 1)), format!("{key}: {error}"))
}

/// What plugins say of their configuration, at its place in the file; what is wrong with a file of the directory, at the
/// first place that names the plugin.
pub(super) fn plugin_errors(file: &Path, config: &Config, problems: &[PluginProblem]) -> Vec<ConfigError> {
    let error = |problem: &PluginProblem| {
        let first_use = || {
            let mut entries = config.routes.iter().flat_map(|route| &route.plugins);
            entries.find(|entry| *entry.name == *problem.plugin).and_then(|entry| entry.positions.find(""))
        };
        let place = problem.position.or_else(first_use).unwrap_or((1, 1));
        let route = problem.route.as_ref().map(|route| format!(" in route `{route}`")).unwrap_or_default();
        ConfigError::new(file, place, format!("plugin `{}`{route}: {}", problem.plugin, problem.message))
    };
    problems.iter().map(error).collect()
}

/// Where compiled plugins are kept between starts where the configuration does not say: systemd's cache directory, the
/// user's, or none.
pub(super) fn cache_directory() -> Option<PathBuf> {
    cache_directory_of(|variable| std::env::var_os(variable))
}

/// The same of an environment. A variable without a value is none.
fn cache_directory_of(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let from = |variable: &str| environment(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("CACHE_DIRECTORY")
        .or_else(|| from("XDG_CACHE_HOME").map(|home| home.join("gateway")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/gateway")))
        .map(|directory| directory.join("plugins"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_without_a_directory_for_caches_has_no_cache() {
        let of = |variables: &[(&str, &str)]| {
            let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
            cache_directory_of(of)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("XDG_CACHE_HOME", ""), ("HOME", "")]), None);
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/gateway/plugins".into()));
        assert_eq!(of(&[("CACHE_DIRECTORY", "/d"), ("HOME", "/h")]), Some("/d/plugins".into()));
        assert_eq!(of(&[("HOME", "/h")]), Some("/h/.cache/gateway/plugins".into()));
    }
}
