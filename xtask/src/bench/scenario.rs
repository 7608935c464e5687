//! What is measured.

use std::fmt;

use super::server::get;
use crate::Result;

/// One kind of traffic.
pub(crate) struct Scenario {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// What it is, for the table.
    pub(crate) about: &'static str,
    /// Who is measured.
    pub(crate) peers: &'static [Peer],
    /// How requests come.
    pub(crate) load: Load,
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

/// The protocol of the load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
    /// HTTP/3.
    H3,
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
    load: Load::H1,
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
        load: Load::H2,
        clients: (8, 16),
        tls: true,
        ..BASE
    },
    Scenario {
        name: "h3_1k",
        about: "HTTP/3, 8 connections of 16 streams (Debian's NGINX has no HTTP/3)",
        peers: OURS,
        load: Load::H3,
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

    /// The route's plugin entries as YAML.
    pub(crate) fn entries(&self) -> String {
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
