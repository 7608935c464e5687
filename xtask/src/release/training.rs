//! The traffic that the profile is recorded under: what gateways do all day, over HTTP/1.1, HTTP/2 and HTTP/3 from the
//! clients and HTTP/1.1 and HTTP/2 to the upstreams, with the access log on and the plugins that come with the gateway.
//! What is left out here is compiled for size, so what is common has to be in it; a benchmark's own scenarios are no
//! measure of that.

use std::fs;
use std::path::{Path, PathBuf};

use super::remove;
use crate::Result;
use crate::plugins::{self, Kind};
use crate::setup::{self, H2LOAD, NGINX};
use crate::traffic::load::{H3Load, Load, Protocol};
use crate::traffic::server::{Origin, Proxy};

/// The plugins on its routes.
const PLUGINS: [&str; 5] = ["auth", "circuit-breaker", "hello-plugin", "pii-redact", "rate-limit"];

/// The API key of the load. `printf %s training-key | sha256sum` gives what the configuration has.
const KEY: &str = "x-api-key: training-key";
const KEY_SHA256: &str = "be9e6e10f4d9e47b04dfbc79bee20b2e58f05a95682d6322f08bfb51aab156b4";

/// Requests of one kind.
struct Part {
    protocol: Protocol,
    tls: bool,
    path: &'static str,
    /// Connections, and the streams on each.
    clients: (u64, u64),
    /// Whether it is a POST.
    post: bool,
    requests: u64,
}

const fn get(protocol: Protocol, tls: bool, path: &'static str, clients: (u64, u64), requests: u64) -> Part {
    Part { protocol, tls, path, clients, post: false, requests }
}

const fn post(protocol: Protocol, tls: bool, path: &'static str, clients: (u64, u64), requests: u64) -> Part {
    Part { protocol, tls, path, clients, post: true, requests }
}

const PARTS: &[Part] = {
    use Protocol::{H1, H2, H3};
    &[
        get(H1, false, "/1k", (32, 1), 30_000),
        get(H1, true, "/1k", (32, 1), 20_000),
        get(H2, true, "/1k", (8, 16), 20_000),
        get(H3, true, "/1k", (8, 16), 20_000),
        get(H2, false, "/http2/1k", (8, 16), 10_000),
        get(H1, true, "/http2/1k", (32, 1), 10_000),
        get(H3, true, "/http2/1k", (8, 16), 10_000),
        post(H1, false, "/1k", (32, 1), 10_000),
        post(H2, true, "/1k", (8, 16), 10_000),
        post(H1, true, "/http2/1k", (32, 1), 10_000),
        get(H1, false, "/guarded/1k", (32, 1), 30_000),
        get(H1, true, "/guarded/1k", (32, 1), 40_000),
        get(H2, true, "/guarded/1k", (8, 16), 40_000),
        post(H2, true, "/guarded/1k", (8, 16), 10_000),
        get(H1, false, "/json", (4, 1), 300),
        get(H2, true, "/json", (4, 4), 300),
        get(H3, true, "/json", (4, 4), 300),
        get(H2, true, "/redacted/json", (2, 2), 40),
        // A connection for each request.
        get(H1, true, "/1k", (300, 1), 300),
        get(H2, true, "/1k", (300, 1), 300),
        get(H3, true, "/1k", (300, 1), 300),
    ]
};

/// What the traffic is made with.
pub(super) struct Training {
    plugins: PathBuf,
    h3load: H3Load,
}

impl Training {
    /// Installs and builds what is missing.
    pub(super) fn prepare() -> Result<Self> {
        setup::tools(&[NGINX, H2LOAD])?;
        setup::wasm()?;
        Ok(Self { plugins: plugins::build(&[Kind::Standard, Kind::Example])?, h3load: H3Load::build()? })
    }

    /// Everything that decides which code of the gateway runs: the program that sends the traffic, and the plugins.
    pub(super) fn inputs(&self) -> Result<Vec<PathBuf>> {
        // Its own file can still be read there when another build has put a new one in its place meanwhile.
        let program = PathBuf::from("/proc/self/exe");
        let plugins = PLUGINS.iter().map(|name| self.plugins.join(format!("{name}.wasm")));
        Ok(std::iter::once(program).chain(plugins).collect())
    }

    /// Sends it through a gateway that counts what it runs, and ends the gateway, which then writes its counts.
    pub(super) fn run(&self, work: &Path, counting: &Path) -> Result {
        // Compiling plugins belongs to what a gateway does.
        remove(&work.join("cache"))?;
        let origin = Origin::start(work, None)?;
        let proxy = Proxy::gateway(work, "gateway", counting, None, |port, tls_port, directory| {
            config([port, tls_port], &origin, directory, &self.plugins)
        })?;
        proxy.wait_until_ready()?;
        let body = work.join("body.json");
        let order = r#"{"article":"4711","quantity":2,"deliver_to":"Storgata 1, 0155 Oslo"},"#.repeat(32);
        fs::write(&body, order).map_err(|error| format!("{}: {error}", body.display()))?;
        println!("recording what the gateway runs under load");
        for part in PARTS {
            let load = Load {
                protocol: part.protocol,
                tls: part.tls,
                port: if part.tls { proxy.tls_port } else { proxy.port },
                path: part.path,
                clients: part.clients,
                field: (part.protocol != Protocol::H3).then_some(KEY),
                body: part.post.then_some(body.as_path()),
                core: None,
            };
            let sent = load.send(Some(&self.h3load), part.requests).and_then(|sent| sent.expect_2xx());
            sent.map_err(|error| format!("{:?} of {}: {error}\n{}", part.protocol, part.path, proxy.log()))?;
        }
        proxy.stop()
    }
}

fn config([port, tls_port]: [u16; 2], origin: &Origin, directory: &Path, plugins: &Path) -> String {
    let (directory, plugins) = (directory.display(), plugins.display());
    let (http1, http2) = (origin.port, origin.http2_port);
    // A gateway that counts is slow, and more so where others work beside it: no plugin is to be held back for that.
    let limits = PLUGINS.map(|name| format!("{name}: {{cpu: 1s, cpu_share: 100%}}")).join(", ");
    format!(
        r#"workers: 1
drain_timeout: 5s
access_log: {{path: "{directory}/access.log"}}
plugins: {{directory: "{plugins}", grants: {{auth: {{upstreams: []}}, pii-redact: {{secrets: []}}}}, limits: {{{limits}}}}}
listeners:
  - {{name: cleartext, address: "127.0.0.1:{port}", protocols: [http1, http2]}}
  - {{name: tls, address: "127.0.0.1:{tls_port}", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
upstreams:
  http1: {{endpoints: ["127.0.0.1:{http1}"], protocol: http1, keepalive: 64}}
  http2: {{endpoints: ["127.0.0.1:{http2}"], protocol: http2}}
routes:
  - name: over-http2
    match: {{path: {{prefix: /http2}}}}
    rewrite: {{prefix: /}}
    upstream: http2
  - name: guarded
    match: {{path: {{prefix: /guarded}}}}
    rewrite: {{prefix: /}}
    response_headers: {{set: {{strict-transport-security: max-age=31536000}}}}
    plugins:
      - {{name: hello-plugin, config: {{value: hei}}}}
      - {{name: auth, config: {{api_keys: {{name_header: x-user, keys: [{{name: training, sha256: {KEY_SHA256}}}]}}}}}}
      - {{name: rate-limit, config: {{limits: [{{requests: 1000000, per: 1s, by: principal}}]}}}}
      - {{name: circuit-breaker, config: {{fallback: {{ttl: 1m}}}}}}
    upstream: http1
  - name: redacted
    match: {{path: {{prefix: /redacted}}}}
    rewrite: {{prefix: /}}
    plugins: [{{name: pii-redact, config: {{}}}}]
    upstream: http1
  - name: other
    match: {{path: {{prefix: /}}}}
    upstream: http1
"#
    )
}
