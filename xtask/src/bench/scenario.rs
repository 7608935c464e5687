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
    /// HTTP/1.1: 32 connections.
    H1,
    /// HTTP/2: 8 connections, 16 streams on each.
    H2,
    /// HTTP/3: 8 connections, 16 streams on each.
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

const BOTH: &[Peer] = &[Peer::Nginx, Peer::Gateway];
const OURS: &[Peer] = &[Peer::Gateway];

const BASE: Scenario = Scenario {
    name: "h1_1k",
    about: "HTTP/1.1 keep-alive, 32 connections, responses of 1 KiB",
    peers: BOTH,
    load: Load::H1,
    tls: false,
    path: "/1k",
    least_body: 1024,
    plugins: Plugins::None,
    scale: 1.0,
};

/// All of them, in the order in which a round goes through them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    BASE,
    Scenario { name: "tls_h1_1k", about: "the same over TLS 1.3", tls: true, scale: 0.8, ..BASE },
    Scenario {
        name: "tls_h2_1k",
        about: "HTTP/2 over TLS 1.3, 8 connections of 16 streams",
        load: Load::H2,
        tls: true,
        ..BASE
    },
    Scenario {
        name: "h3_1k",
        about: "HTTP/3, 8 connections of 16 streams (Debian's NGINX has no HTTP/3)",
        peers: OURS,
        load: Load::H3,
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
    Scenario {
        name: "redact",
        about: "pii-redact over JSON responses of 1 MiB",
        peers: OURS,
        path: "/json",
        least_body: 900_000,
        plugins: Plugins::Redact,
        scale: 0.0015,
        ..BASE
    },
];

impl Scenario {
    /// Connections and the streams on each.
    pub(crate) const fn clients(&self) -> (u64, u64) {
        match (self.load, self.plugins) {
            (Load::H1, Plugins::Redact) => (4, 1),
            (Load::H1, _) => (32, 1),
            (Load::H2 | Load::H3, _) => (8, 16),
        }
    }

    /// Requests in flight.
    pub(crate) const fn concurrency(&self) -> u64 {
        let (connections, streams) = self.clients();
        connections * streams
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
                    format!("      - {{name: bench-header, config: {{read: x-bench-0, set: x-bench-{number}}}}}\n")
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
                let seen = get(port, "/headers", "x-bench-0: yes\r\n")?.matches("set:yes").count();
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
