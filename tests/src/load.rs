//! Load on a gateway process of its own: the process with its directory and memory, an upstream that keeps nothing of
//! what it serves, and clients that send requests without a break and count every answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::{Client, PROTOCOLS, Response};
use crate::process::Process;
use crate::upstream::ScriptBody;

/// A `gateway run` process with its directory.
pub struct Spawned {
    /// The process.
    pub process: Process,
    directory: TempDir,
    listeners: HashMap<String, SocketAddr>,
    admin: SocketAddr,
}

/// What every spawned gateway is configured with besides the test's own text.
fn complete(yaml: &str, directory: &Path) -> String {
    let log = directory.join("access.log");
    let workers = if yaml.contains("\nworkers:") { "" } else { "workers: 2" };
    format!(
        "{yaml}\nadmin: {{address: \"127.0.0.1:0\"}}\naccess_log: {{path: {}, include: [path]}}\nlog: {{format: json, level: \
         info}}\n{workers}\n",
        log.display()
    )
}

impl Spawned {
    /// Starts the process; `fill` gets the directory first.
    pub fn start(yaml: &str, fill: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(directory.path().join("plugins")).expect("the plugin directory");
        fill(directory.path());
        let config = directory.path().join("gateway.yaml");
        std::fs::write(&config, complete(yaml, directory.path())).expect("written");
        let process = Process::start(&config);
        let mut listeners = HashMap::new();
        let admin = loop {
            let line = process.wait_for("listening");
            let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
            let fields = line.get("fields").unwrap_or(&line);
            let address = fields["address"].as_str().and_then(|address| address.parse().ok());
            let address = address.unwrap_or_else(|| panic!("no address in {line}"));
            match fields["listener"].as_str() {
                Some(name) => listeners.insert(name.to_owned(), address),
                None => break address,
            };
        };
        Self { process, directory, listeners, admin }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The address of a listener.
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.listeners[name]
    }

    /// The admin address.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Replaces the configuration, as one change.
    pub fn configure(&self, yaml: &str) {
        let part = self.directory().join(".gateway.yaml.part");
        std::fs::write(&part, complete(yaml, self.directory())).expect("written");
        std::fs::rename(part, self.directory().join("gateway.yaml")).expect("renamed");
    }

    /// The lines of the access log so far, parsed.
    pub fn access_log(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.directory().join("access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// Bytes of memory that the process holds, of what it shares with other processes its part (PSS).
    pub fn proportional_memory(&self) -> usize {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let rollup = std::fs::read_to_string(path).expect("the process runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    /// Bytes of memory that the process holds.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }
}

/// Bytes as MiB, for messages.
pub fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// An upstream that gets requests as they come, with bodies unread, and keeps nothing.
pub struct Service {
    address: SocketAddr,
    /// Ends every connection when dropped.
    runtime: Option<Runtime>,
}

impl Service {
    /// Serves HTTP/1.1 and HTTP/2 with prior knowledge.
    pub fn start<F, R>(handler: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = http::Response<ScriptBody>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            // Accepted connections inherit them: what the kernel would hold is not the gateway's doing.
            socket.set_send_buffer_size(64 << 10).expect("an option");
            socket.set_recv_buffer_size(64 << 10).expect("an option");
            socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
            socket.listen(1024).expect("listening")
        });
        let address = listener.local_addr().expect("bound");
        let handler = Arc::new(handler);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let handler = handler.clone();
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, runtime: Some(runtime) }
    }

    /// Its address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Clients of all three protocols that send requests until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Outcome>>,
    began: Instant,
}

/// What one client got.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Its protocol.
    pub protocol: &'static str,
    /// Targets of whole, correct responses.
    pub answered: Vec<String>,
    /// What went wrong, by target. A client stops at its first failure.
    pub failed: Option<(String, String)>,
}

impl Load {
    /// Starts `clients` per protocol, each with one connection. `check` says what is wrong with a response.
    pub fn start(
        address: SocketAddr,
        clients: usize,
        pause: Duration,
        check: impl Fn(&str, &Response) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let check = Arc::new(check);
        let mut threads = Vec::new();
        for protocol in PROTOCOLS {
            for client in 0..clients {
                let (stop, answered, check) = (stop.clone(), answered.clone(), check.clone());
                threads.push(std::thread::spawn(move || {
                    let mut connection = Client::tls(protocol, address, "localhost");
                    let mut outcome = Outcome { protocol, ..Outcome::default() };
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let target = format!("/{protocol}/{client}/{number}");
                        number += 1;
                        let response = connection.try_send(http::Request::get(&target), "");
                        match response.and_then(|response| check(&target, &response)) {
                            Ok(()) => {
                                answered.fetch_add(1, Ordering::Relaxed);
                                outcome.answered.push(target);
                            }
                            Err(error) => {
                                outcome.failed = Some((target, error));
                                break;
                            }
                        }
                        // The pace of the load, so that two cores have time for what is being tested.
                        std::thread::sleep(pause);
                    }
                    outcome
                }));
            }
        }
        Self { stop, answered, threads, began: Instant::now() }
    }

    /// Whole, correct responses so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops the clients after their current request.
    pub fn stop(self) -> (Vec<Outcome>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let outcomes = self.threads.into_iter().map(|thread| thread.join().expect("a client")).collect();
        (outcomes, self.began.elapsed())
    }
}
