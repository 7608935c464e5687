//! The directory of a case's gateway: plugin, configuration, secrets, access log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plugin_cases::{Case, Fails};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::origin::{Origin, host_of};
use crate::{gateway, plugin};

/// The host that cases ask for, and the one whose upstream nobody can connect to.
pub(super) const HOST: &str = "example.test";
pub(super) const DEAD: &str = "connect.example.test";

/// How long a log record is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Place {
    directory: TempDir,
    plugin: String,
}

impl Place {
    pub(super) fn new(plugin: &str, wasm: &[u8]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join("plugins"))?;
        fs::write(directory.path().join(format!("plugins/{plugin}.wasm")), wasm)?;
        Ok(Self { directory, plugin: plugin.to_owned() })
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    /// Writes the configuration of a case.
    pub(super) fn prepare(&self, case: &Case, origin: &Origin) -> io::Result<PathBuf> {
        let directory = self.directory.path();
        let _ = fs::remove_file(self.log());
        for (name, value) in &case.secrets {
            fs::write(directory.join(format!("secret-{name}")), value)?;
        }
        let config = config(&self.plugin, case, origin, directory).to_string();
        let file = directory.join("gateway.yaml");
        // What the environment would fill in stands for itself here.
        fs::write(&file, config.replace("${", "$${"))?;
        Ok(file)
    }

    /// Whether the plugin refuses the configuration at these places and no others.
    pub(super) fn refused(&self, config: &Path, pointers: &[String]) -> Result<Vec<String>, String> {
        let loaded = crate::config::load(config).map_err(|errors| errors.to_string())?;
        let plugins = self.directory.path().join("plugins");
        let tried = gateway::try_plugin(loaded.config, &plugins, plugin::this_program(), &self.plugin);
        let Err(problems) = tried else { return Ok(vec!["the config was not refused".to_owned()]) };
        let found: Vec<_> = problems.iter().filter_map(|problem| problem.pointer.clone()).collect();
        let told = |problem: &plugin::PluginProblem| format!("the config was refused otherwise: {problem}");
        Ok(if found == pointers { Vec::new() } else { problems.iter().map(told).collect() })
    }

    /// The log record of a step.
    pub(super) async fn record(&self, index: usize) -> Result<Value, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let text = fs::read_to_string(self.log()).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            if let Some(line) = whole.lines().nth(index) {
                return serde_json::from_str(line).map_err(|error| format!("the log record can't be read: {error}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("the log has no record of the request".to_owned())
    }
}

/// The configuration of a gateway with one plugin entry; JSON is YAML.
fn config(plugin: &str, case: &Case, origin: &Origin, directory: &Path) -> Value {
    let hasty = case.steps.iter().any(|step| step.fails == Some(Fails::Timeout));
    let behind = |address: std::net::SocketAddr, host: &str| {
        json!({
            "endpoints": [address.to_string()],
            "host": host,
            "passive_health": {"max_failures": 0},
            "timeouts": {"response": if hasty { "500ms" } else { "30s" }},
        })
    };
    let mut upstreams = Map::new();
    upstreams.insert("test".to_owned(), behind(origin.address, "preserve"));
    upstreams.insert("dead".to_owned(), behind(origin.dead, "preserve"));
    for name in case.upstreams.keys() {
        upstreams.insert(name.clone(), behind(origin.address, &host_of(name)));
    }
    let granted: Vec<&str> = case.upstreams.keys().map(String::as_str).chain(["test"]).collect();
    let secret = |name: &String| (name.clone(), json!({"file": directory.join(format!("secret-{name}"))}));
    let secrets: Map<String, Value> = case.secrets.keys().map(secret).collect();
    let entry = json!({
        "name": plugin,
        "config": case.config,
        // The routes of a case are one entry to the plugin.
        "share_state": "case",
        "shared": case.shared,
        "store_unmarked": case.store_unmarked,
    });
    let route = |name: &str, host: &str, upstream: &str| {
        let matches = json!({"hostnames": [host], "path": {"prefix": "/"}});
        json!({"name": name, "match": matches, "upstream": upstream, "plugins": [entry]})
    };
    let mut routes = vec![route("test", HOST, "test")];
    if case.steps.iter().any(|step| step.fails == Some(Fails::Connect)) {
        routes.push(route("connect", DEAD, "dead"));
    } else {
        upstreams.remove("dead");
    }
    json!({
        "workers": 1,
        "log": {"level": "error", "include": ["plugin_messages"]},
        "listeners": [{"name": "test", "address": "127.0.0.1:0", "protocols": ["http1"]}],
        "forwarding": {"trusted": ["127.0.0.0/8"]},
        "access_log": {"path": directory.join("access.log")},
        "secrets": secrets,
        "plugins": {
            "directory": directory.join("plugins"),
            "cache": directory,
            "grants": {plugin: {"upstreams": granted, "secrets": case.secrets.keys().collect::<Vec<_>>()}},
        },
        "upstreams": upstreams,
        "routes": routes,
    })
}
