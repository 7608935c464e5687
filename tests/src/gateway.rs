//! A gateway in this process, on ports that the system chooses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gateway::gateway::Gateway;
use gateway::plugin::{self, Compiler};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::binary;

/// A running gateway with its directory: `gateway.yaml`, `plugins/`, and the access log `access.log`.
pub struct TestGateway {
    gateway: Option<Gateway>,
    directory: TempDir,
}

/// What a test adds to every configuration: an admin address, the log in a file, one worker unless it says otherwise.
fn complete(yaml: &str, directory: &Path) -> String {
    let mut text = yaml.to_owned();
    for (key, line) in [
        ("admin", "admin: {address: \"127.0.0.1:0\"}".to_owned()),
        ("access_log", format!("access_log: {{path: {}}}", directory.join("access.log").display())),
        ("workers", "workers: 2".to_owned()),
    ] {
        if !text.lines().any(|known| known.starts_with(&format!("{key}:"))) {
            text.push_str(&format!("\n{line}\n"));
        }
    }
    text
}

impl TestGateway {
    /// Starts a gateway; `plugins` are copied from the built wasm files.
    pub fn start(yaml: &str, plugins: &[&str]) -> Self {
        Self::try_start(yaml, plugins).unwrap_or_else(|error| panic!("the gateway does not start:\n{error}"))
    }

    /// The same, with the error for tests of bad configurations.
    pub fn try_start(yaml: &str, plugins: &[&str]) -> Result<Self, String> {
        Self::prepare(yaml, |directory| {
            for name in plugins {
                install(name, &directory.join("plugins"));
            }
        })
    }

    /// The same, with a function that fills the directory first.
    pub fn prepare(yaml: &str, fill: impl FnOnce(&Path)) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
        fill(directory.path());
        let config = directory.path().join("gateway.yaml");
        std::fs::write(&config, complete(yaml, directory.path())).expect("written");
        let gateway = Gateway::start(&config, compiler()).map_err(|error| error.to_string())?;
        Ok(Self { gateway: Some(gateway), directory })
    }

    /// Starts a gateway in clear text over HTTP/1 with one route, `all`, to the upstream `one`; `more` is what else the
    /// route has, in YAML.
    pub fn in_front_of(upstream: SocketAddr, more: &str) -> Self {
        let yaml = format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{upstream}\"]}}}}
routes: [{{name: all, upstream: one, {more}}}]
"
        );
        Self::start(&yaml, &[])
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("the gateway runs")
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.gateway().listeners()[0].1
    }

    /// The address of a listener.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let found = self.gateway().listeners().iter().find(|(known, _)| **known == *name);
        found.unwrap_or_else(|| panic!("no listener {name}")).1
    }

    /// The admin address.
    pub fn admin(&self) -> SocketAddr {
        self.gateway().admin().expect("the admin listener is on")
    }

    /// A page of the admin listener.
    pub fn admin_page(&self, path: &str) -> (u16, String) {
        let response = Client::http1(self.admin()).get(path);
        (response.status, response.text())
    }

    /// The value of a metric, summed over the series whose labels contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.admin_page("/metrics");
        text.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                    && labels.iter().all(|label| line.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Replaces the configuration and waits until it is applied or refused.
    pub fn reload(&self, yaml: &str) -> Result<(), String> {
        let config = self.directory.path().join("gateway.yaml");
        let part = self.directory.path().join(".gateway.yaml.part");
        std::fs::write(&part, complete(yaml, self.directory.path())).expect("written");
        std::fs::rename(part, config).expect("renamed");
        self.gateway().reload().map_err(|error| error.to_string())
    }

    /// The lines of the access log so far, parsed.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// Waits for the log record of a request that satisfies `matches`.
    pub fn logged(&self, what: &str, matches: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        crate::eventually(what, || {
            let log = self.access_log();
            log.iter().find(|line| matches(line)).cloned().ok_or(log)
        })
    }

    /// Drains the gateway; its directory stays until the value is dropped.
    pub fn drain(&mut self) -> gateway::gateway::Drained {
        self.gateway.take().expect("the gateway runs").drain()
    }
}

/// What compiles plugins for gateways in this process: the built program.
pub fn compiler() -> Compiler {
    plugin::compiler_at(&binary("gateway"))
}

/// The wasm file of a built plugin, or of a guest, which lie beside the plugins.
pub fn built_plugin(name: &str) -> PathBuf {
    let plugins = match std::env::var_os("GATEWAY_PLUGINS") {
        Some(directory) => directory.into(),
        None => {
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
            target.join("plugins")
        }
    };
    let file = format!("{name}.wasm");
    let guest = plugins.with_file_name("guests").join(&file);
    if guest.exists() { guest } else { plugins.join(file) }
}

/// Copies a built plugin into a plugin directory, as one change.
pub fn install(name: &str, directory: &Path) {
    let from = built_plugin(name);
    let part = directory.join(format!(".{name}.wasm.part"));
    std::fs::copy(&from, &part)
        .unwrap_or_else(|error| panic!("{} is needed ({error}); run `cargo xtask plugins` first", from.display()));
    std::fs::rename(part, directory.join(format!("{name}.wasm"))).expect("renamed");
}
