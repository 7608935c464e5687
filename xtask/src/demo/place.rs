//! Where the demo runs: a directory of its own with the example's configuration, the plugins, and ports that are free.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::process::target_directory;

/// The ports that the example's configuration names.
const DOCUMENTED: [(&str, u16); 7] = [
    ("https", 8443),
    ("http", 8080),
    ("admin", 9901),
    ("orders", 5001),
    ("inventory", 5002),
    ("customers", 5003),
    ("identity", 5004),
];

/// The directory and the ports of a demo.
pub(super) struct Place {
    directory: PathBuf,
    ports: Vec<(&'static str, u16)>,
}

impl Place {
    /// Copies the example, with other ports where the documented ones are taken.
    pub(super) fn prepare(example: &Path, wasm: &Path) -> Result<Self> {
        let directory = target_directory()?.join("demo/microservices");
        let plugins = directory.join("plugins");
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| format!("{path}: {error}")
        };
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(at(&directory))?;
        }
        fs::create_dir_all(&plugins).map_err(at(&plugins))?;
        for name in ["hello-plugin", "lookup-log", "auth", "rate-limit", "circuit-breaker", "pii-redact"] {
            let from = wasm.join(format!("{name}.wasm"));
            fs::copy(&from, plugins.join(format!("{name}.wasm"))).map_err(at(&from))?;
        }
        let config = example.join("gateway.yaml");
        let mut text = fs::read_to_string(&config).map_err(at(&config))?;
        let mut ports: Vec<(&'static str, u16)> = Vec::new();
        // Kept until all are chosen, so that none is chosen twice.
        let mut held = Vec::new();
        for (name, documented) in DOCUMENTED {
            let (port, holders) = choose(documented).map_err(|error| format!("no free port for {name}: {error}"))?;
            if port != documented {
                println!("port {documented} is taken; {name} is on {port} instead");
                text = text.replace(&format!("127.0.0.1:{documented}"), &format!("127.0.0.1:{port}"));
                text = text.replace(&format!("port: {documented}"), &format!("port: {port}"));
            }
            held.push(holders);
            ports.push((name, port));
        }
        let config = directory.join("gateway.yaml");
        fs::write(&config, text).map_err(at(&config))?;
        Ok(Self { directory, ports })
    }

    /// A file of the directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn port(&self, name: &str) -> u16 {
        self.ports.iter().find(|(known, _)| *known == name).map_or(0, |(_, port)| *port)
    }

    /// A URL of the encrypted listener.
    pub(super) fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port("https"))
    }

    /// A URL of the listener in clear text.
    pub(super) fn http(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port("http"))
    }

    /// A URL of the admin listener.
    pub(super) fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port("admin"))
    }

    /// The address of a service.
    pub(super) fn service(&self, name: &str) -> String {
        format!("127.0.0.1:{}", self.port(name))
    }
}

/// The wanted port if it is free over TCP and UDP, otherwise another that is.
fn choose(wanted: u16) -> std::io::Result<(u16, (TcpListener, UdpSocket))> {
    let mut last = None;
    for candidate in std::iter::once(wanted).chain(std::iter::repeat_n(0, 16)) {
        let bound = TcpListener::bind(("127.0.0.1", candidate)).and_then(|tcp| {
            let port = tcp.local_addr()?.port();
            Ok((port, (tcp, UdpSocket::bind(("127.0.0.1", port))?)))
        });
        match bound {
            Ok(found) => return Ok(found),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}
