//! A real Prometheus, of Debian's package, and its `promtool`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::process::binary;

/// `prometheus` or `promtool`.
fn program(name: &str) -> PathBuf {
    // target/debug/NAME → target/prometheus/usr/bin
    let beside = || binary(name).ancestors().nth(2).expect("a target directory").join("prometheus/usr/bin");
    let directory = std::env::var_os("GATEWAY_PROMETHEUS").map_or_else(beside, PathBuf::from);
    let program = directory.join(name);
    assert!(program.exists(), "{} is needed; `cargo xtask setup` brings it", program.display());
    program
}

/// Runs `promtool` in a directory, with something to read. Returns what it says, or what it finds wrong.
pub fn promtool(arguments: &[&str], directory: &Path, input: &str) -> Result<String, String> {
    let mut command = Command::new(program("promtool"));
    command.args(arguments).current_dir(directory);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool does not start: {error}"));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these jobs, each a name, an address and a path, five times a second. `features` are those that
    /// `--enable-feature` turns on.
    pub fn start(jobs: &[(&str, SocketAddr, &str)], features: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n".to_owned();
        for (name, target, path) in jobs {
            config += &format!(
                "  - {{job_name: {name}, metrics_path: {path}, static_configs: [{{targets: ['{target}']}}]}}\n"
            );
        }
        let file = directory.path().join("prometheus.yaml");
        std::fs::write(&file, config).expect("written");
        let address = SocketAddr::from(([127, 0, 0, 1], crate::free_port()));
        let log = std::fs::File::create(directory.path().join("log")).expect("a file");
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={features}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let started = Self { child, address, _directory: directory };
        crate::eventually("Prometheus is ready", || {
            let open = std::net::TcpStream::connect(address).is_ok();
            (open && Client::http1(address).get("/-/ready").status == 200).then_some(())
        });
        started
    }

    /// The answer to a request of its API.
    fn ask(&self, path: &str, query: &str) -> Value {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        Client::http1(self.address).get(&format!("/api/v1/{path}={encoded}")).json()
    }

    /// What an expression of one value is now, if it is anything.
    pub fn value(&self, expression: &str) -> Option<f64> {
        let answer = self.ask("query?query", expression);
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// The trace ids of the exemplars of a selector.
    pub fn exemplars(&self, selector: &str) -> Vec<String> {
        let answer = self.ask("query_exemplars?start=0&end=9999999999&query", selector);
        let series = answer["data"].as_array().cloned().unwrap_or_default();
        let exemplars = series.iter().flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default());
        exemplars.filter_map(|exemplar| exemplar["labels"]["trace_id"].as_str().map(str::to_owned)).collect()
    }

    /// What it says of its targets, for messages.
    pub fn targets(&self) -> String {
        self.ask("targets?state", "active").to_string()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
