//! Where the demo runs: a directory of its own with the example's configuration, the plugins, and ports that are free.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::process::target_directory;

/// The ports that the example's configuration names.
const DOCUMENTED: [(&str, u16); 8] = [
    ("https", 8443),
    ("http", 8080),
    ("admin", 9901),
    ("orders", 5001),
    ("inventory", 5002),
    ("customers", 5003),
    ("identity", 5004),
    ("collector", 4318),
];

/// The directory and the ports of a demo.
pub(super) struct Place {
    directory: PathBuf,
    ports: Vec<(&'static str, u16)>,
}

impl Place {
    /// Copies the example, with other ports where the documented ones are taken.
    pub(super) fn prepare(example: &Path, wasm: &Path) -> Result<Self> {
        let directory = target_directory()?.join("demo").join(example.file_name().unwrap_or_default());
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
        let text = fs::read_to_string(&config).map_err(at(&config))?;
        let mut ports: Vec<(&'static str, u16)> = Vec::new();
        // Kept until all are chosen, so that none is chosen twice.
        let mut held = Vec::new();
        for (name, documented) in DOCUMENTED {
            let (port, holders) = choose(documented).map_err(|error| format!("no free port for {name}: {error}"))?;
            if port != documented {
                println!("port {documented} is taken; {name} is on {port} instead");
            }
            held.push(holders);
            ports.push((name, port));
        }
        let text = with_ports(&text, |documented| {
            let name = DOCUMENTED.iter().find(|(_, port)| *port == documented).map(|(name, _)| name)?;
            ports.iter().find(|(known, _)| known == name).map(|(_, port)| *port)
        });
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

/// The text with other ports in the places of those that `other` knows: whole numbers, each looked at once, so that none
/// is taken for the start of another one, and none that was put in is replaced again.
fn with_ports(text: &str, other: impl Fn(u16) -> Option<u16>) -> String {
    const BEFORE: [&str; 2] = ["127.0.0.1:", "port: "];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = BEFORE.iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min() {
        let (before, behind) = rest.split_at(at);
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = behind.split_at(digits);
        out.push_str(before);
        match number.parse().ok().and_then(&other) {
            Some(port) => out.push_str(&port.to_string()),
            None => out.push_str(number),
        }
        rest = behind;
    }
    out + rest
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_replaced_as_a_whole_and_once() {
        let text =
            "a: 127.0.0.1:5001, 127.0.0.1:5002, 127.0.0.1:50020\nredirect: {port: 5001}\nnumber: 5001\n127.0.0.1:";
        // What stands for the first is the second's documented port, and the start of the third.
        let other =
            |port| [(5001, 5002), (5002, 50020)].iter().find(|(known, _)| *known == port).map(|(_, port)| *port);
        assert_eq!(
            with_ports(text, other),
            "a: 127.0.0.1:5002, 127.0.0.1:50020, 127.0.0.1:50020\nredirect: {port: 5002}\nnumber: 5001\n127.0.0.1:"
        );
    }
}
