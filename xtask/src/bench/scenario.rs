//! What is measured.

use std::fmt;
use std::path::Path;

use crate::Result;
use crate::traffic::load::Protocol;
use crate::traffic::server::get;

/// One kind of traffic.
pub(crate) struct Scenario {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What it is, for the table.
    pub(crate) about: &'static str,
    /// Who is measured.
    pub(crate) peers: &'static [Peer],
    /// How requests come.
    pub(crate) protocol: Protocol,
    /// Connections, and the streams on each.
    pub(crate) clients: (u64, u64),
    /// Whether they come over TLS.
    pub(crate) tls: bool,
    /// What is asked for.
    pub(crate) path: &'static str,
    /// The least number of bytes in a response's body.
    pub(crate) least_body: u64,
    /// The plugins on the route.
    pub(crate) plugins: Plugins,
    /// Requests, relative to what the command line says.
    pub(crate) scale: f64,
}

/// A proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// NGINX from the system's packages: the yardstick.
    Nginx,
    /// Ours.
    Gateway,
}

/// What stands on the route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugins {
    /// Nothing, and no plugin engine is asked for anything.
    None,
    /// So many entries of `bench-header`, each with a config, and so with instances, of its own.
    Headers(usize),
    /// `pii-redact` over response bodies.
    Redact,
}

/// The header field that every plugin of a chain reads.
const READ: &str = "x-bench-0";

const BOTH: &[Peer] = &[Peer::Nginx, Peer::Gateway];
const OURS: &[Peer] = &[Peer::Gateway];

const BASE: Scenario = Scenario {
    name: "h1_1k",
    about: "HTTP/1.1 keep-alive, 32 connections, responses of 1 KiB",
    peers: BOTH,
    protocol: Protocol::H1,
    clients: (32, 1),
    tls: false,
    path: "/1k",
    least_body: 1024,
    plugins: Plugins::None,
    scale: 1.0,
};

const LARGE: Scenario = Scenario {
    name: "json_1m",
    about: "HTTP/1.1 keep-alive, 4 connections, JSON responses of 1 MiB",
    clients: (4, 1),
    path: "/json",
    least_body: 900_000,
    scale: 0.02,
    ..BASE
};

/// All of them, in the order in which a round goes through them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    BASE,
    Scenario { name: "tls_h1_1k", about: "the same over TLS 1.3", tls: true, scale: 0.8, ..BASE },
    Scenario {
        name: "tls_h2_1k",
        about: "HTTP/2 over TLS 1.3, 8 connections of 16 streams",
        protocol: Protocol::H2,
        clients: (8, 16),
        tls: true,
        ..BASE
    },
    Scenario {
        name: "h3_1k",
        about: "HTTP/3, 8 connections of 16 streams (Debian's NGINX has no HTTP/3)",
        peers: OURS,
        protocol: Protocol::H3,
        clients: (8, 16),
        tls: true,
        scale: 0.6,
        ..BASE
    },
    Scenario { name: "chain_0", about: "h1_1k, no plugin", peers: OURS, plugins: Plugins::Headers(0), ..BASE },
    Scenario {
        name: "chain_1",
        about: "h1_1k, one plugin that reads a header and sets one",
        peers: OURS,
        plugins: Plugins::Headers(1),
        ..BASE
    },
    Scenario { name: "chain_5", about: "h1_1k, five such plugins", peers: OURS, plugins: Plugins::Headers(5), ..BASE },
    LARGE,
    Scenario {
        name: "redact",
        about: "the same with pii-redact",
        peers: OURS,
        plugins: Plugins::Redact,
        scale: 0.0015,
        ..LARGE
    },
];

impl Scenario {
    /// Requests in flight.
    pub(crate) const fn concurrency(&self) -> u64 {
        let (connections, streams) = self.clients;
        connections * streams
    }

    /// The header field that requests carry: what the plugins of a chain read. A chain of none gets it as well.
    pub(crate) fn field(&self) -> Option<String> {
        matches!(self.plugins, Plugins::Headers(_)).then(|| format!("{READ}: yes"))
    }

    /// Whether plugin binaries have to be there.
    pub(crate) fn needs_plugins(&self) -> bool {
        self.plugins != Plugins::None
    }

    /// The gateway's configuration: one worker, no access log, and the scenario's plugins.
    pub(crate) fn config(&self, [port, tls_port, origin]: [u16; 3], work: &Path, plugins: &Path) -> String {
        let (work, plugins) = (work.display(), plugins.display());
        let directory =
            if self.needs_plugins() { format!("plugins: {{directory: \"{plugins}\"}}\n") } else { String::new() };
        let entries = self.entries();
        format!(
            "workers: 1\naccess_log: {{path: off}}\n{directory}\
             listeners:\n  - {{name: cleartext, address: \"127.0.0.1:{port}\", protocols: [http1]}}\n\
             \x20 - name: tls\n    address: 127.0.0.1:{tls_port}\n    protocols: [http1, http2, http3]\n\
             \x20   tls: {{certificates: [{{certificate: \"{work}/cert.pem\", private_key: \"{work}/key.pem\"}}]}}\n\
             upstreams:\n  origin: {{endpoints: [\"127.0.0.1:{origin}\"], protocol: http1, keepalive: 256}}\n\
             routes:\n  - name: all\n    match: {{path: {{prefix: /}}}}\n    upstream: origin\n{entries}"
        )
    }

    /// The route's plugin entries as YAML.
    fn entries(&self) -> String {
        match self.plugins {
            Plugins::None | Plugins::Headers(0) => String::new(),
            Plugins::Headers(count) => {
                let entry = |number| {
                    format!("      - {{name: bench-header, config: {{read: {READ}, set: x-bench-{number}}}}}\n")
                };
                format!("    plugins:\n{}", (1..=count).map(entry).collect::<String>())
            }
            Plugins::Redact => "    plugins:\n      - {name: pii-redact, config: {}}\n".to_owned(),
        }
    }

    /// That the plugins do what is measured: the headers reach the origin, personal data does not reach the client.
    pub(crate) fn verify(&self, port: u16) -> Result {
        match self.plugins {
            Plugins::None => Ok(()),
            Plugins::Headers(count) => {
                let seen = get(port, "/headers", &format!("{READ}: yes\r\n"))?.matches("set:yes").count();
                if seen == count { Ok(()) } else { Err(format!("{count} plugins set {seen} headers")) }
            }
            Plugins::Redact => {
                let body = get(port, self.path, "")?;
                if body.contains("@example.com") || !body.contains("***") {
                    return Err("the response is not redacted".to_owned());
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::Gateway => "gateway",
        })
    }
}
