//! A receiver of telemetry that is not ours: OpenTelemetry's own packages for Python (`tests/otlp_receiver.py`), which takes
//! OTLP over gRPC and HTTP, and Zipkin's JSON.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::Value;

use crate::foreign::python;

/// The receiver, running. Ends with the value.
pub struct OtlpReceiver {
    process: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
    scheme: &'static str,
    grpc: u16,
    http: u16,
}

impl OtlpReceiver {
    /// Starts it on ports of its own, and waits until it listens.
    pub fn start() -> Self {
        Self::run("http", &[])
    }

    /// The same with this port for OTLP over HTTP.
    pub fn start_at(http: u16) -> Self {
        Self::run("http", &["--http", &http.to_string()])
    }

    /// The same with TLS, by a certificate for `localhost`.
    pub fn start_tls(certificate: &Path, private_key: &Path) -> Self {
        let [certificate, key] = [certificate, private_key].map(|path| path.to_str().expect("a path in UTF-8"));
        Self::run("https", &["--certificate", certificate, "--private-key", key])
    }

    fn run(scheme: &'static str, arguments: &[&str]) -> Self {
        let mut process = Command::new(python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("otlp_receiver.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("Python does not start: {error}; `cargo xtask setup` brings it"));
        let stdout = process.stdout.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("it prints JSON");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut receiver = Self { process, lines, seen: Vec::new(), scheme, grpc: 0, http: 0 };
        let ports: Value = receiver.lines.recv_timeout(crate::PATIENCE).expect("it says where it listens");
        let port = |name: &str| ports[name].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        (receiver.grpc, receiver.http) = (port("grpc"), port("http"));
        receiver
    }

    /// The endpoint for OTLP over gRPC.
    pub fn grpc(&self) -> String {
        self.endpoint(self.grpc)
    }

    /// The endpoint for OTLP over HTTP, and for Zipkin.
    pub fn http(&self) -> String {
        self.endpoint(self.http)
    }

    fn endpoint(&self, port: u16) -> String {
        // A certificate is for a name.
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{port}", self.scheme)
    }

    /// Waits until all that has come so far is enough, and returns it. Each is an object, whose `signal` is `span`, `log` or
    /// `metric`; the script has the rest of its fields.
    pub fn wait_until(&mut self, what: &str, is_enough: impl Fn(&[Value]) -> bool) -> &[Value] {
        let deadline = Instant::now() + crate::PATIENCE;
        while !is_enough(&self.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no {what} came, but {:#?}", self.seen),
            }
        }
        &self.seen
    }

    /// All that has come so far.
    pub fn seen(&mut self) -> &[Value] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Waits for the first of a signal that `is_it`.
    pub fn wait_for(&mut self, signal: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = |seen: &[Value]| seen.iter().find(|one| one["signal"] == signal && is_it(one)).cloned();
        let seen = self.wait_until(signal, |seen| found(seen).is_some());
        found(seen).expect("it was waited for")
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
