//! A gateway at its most talkative, and who receives what it sends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use gateway_tests::process::binary;
use gateway_tests::upstream::Upstream;
use gateway_tests::{PATIENCE, eventually};

/// A gateway in a process of its own, whose outputs are files.
pub(super) struct Talkative {
    pub(super) child: Child,
    pub(super) directory: PathBuf,
    pub(super) clear: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) receivers: Receivers,
}

/// What is sent to elsewhere.
pub(super) struct Receivers {
    /// What a receiver of syslog messages has got.
    pub(super) syslog: Arc<Mutex<String>>,
    /// Takes spans.
    pub(super) spans: Upstream,
    /// Takes metrics.
    pub(super) metrics: Upstream,
}

impl Receivers {
    /// All that one of the collectors has got: names and values stand in it as they are, in JSON as in protobufs.
    pub(super) fn text(of: &Upstream) -> String {
        of.seen().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
    }
}

/// How spans are exported.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Otlp,
    Zipkin,
}

impl Drop for Talkative {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talkative {
    pub(super) fn start(
        directory: &Path,
        yaml: &str,
        environment: &[(&str, String)],
        ports: [u16; 3],
        receivers: Receivers,
    ) -> Self {
        std::fs::write(directory.join("gateway.yaml"), yaml).expect("written");
        let file = |name: &str| Stdio::from(std::fs::File::create(directory.join(name)).expect("made"));
        let child = Command::new(binary("gateway"))
            .args(["run", "-c"])
            .arg(directory.join("gateway.yaml"))
            .env("CACHE_DIRECTORY", directory.join("cache"))
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(file("access.log"))
            .stderr(file("error.log"))
            .spawn()
            .expect("it starts");
        let [clear, tls, admin] = ports.map(|port| ([127, 0, 0, 1], port).into());
        let gateway = Self { child, directory: directory.to_owned(), clear, tls, admin, receivers };
        eventually("the gateway is ready", || match TcpStream::connect(gateway.clear) {
            Ok(_) if gateway.file("error.log").contains("plugin serves") => Ok(()),
            _ => Err(gateway.file("error.log")),
        });
        gateway
    }

    pub(super) fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join(name)).unwrap_or_default()).into_owned()
    }

    /// A configuration with mistakes takes the place of the one in force, and is refused.
    pub(super) fn refuses(&self, yaml: &str) {
        std::fs::write(self.directory.join("gateway.yaml"), yaml).expect("written");
        let told = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status();
        assert!(told.expect("it runs").success());
        eventually("the configuration is refused", || {
            let log = self.file("error.log");
            log.contains("the old one stays in force").then_some(()).ok_or(log)
        });
    }

    /// What comes back for these bytes in clear text.
    pub(super) fn says(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.clear).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(bytes).expect("sent");
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Receives syslog messages, which become one text.
pub(super) fn syslog() -> (u16, Arc<Mutex<String>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = socket.local_addr().expect("bound").port();
    let received = Arc::new(Mutex::new(String::new()));
    let messages = received.clone();
    std::thread::spawn(move || {
        let mut message = vec![0; 1 << 16];
        while let Ok(length) = socket.recv(&mut message) {
            let mut messages = messages.lock().expect("whole");
            messages.push_str(&String::from_utf8_lossy(&message[..length]));
            messages.push('\n');
        }
    });
    (port, received)
}

/// All of a template that needs nothing to be named.
pub(super) const TEMPLATE: &str = "${client.address} ${request.method} \\\"${request.line}\\\" ${request.path} ${response.status} \
                        ${error.kind} ${error.detail} ${upstream.endpoint} ${request.id}";

/// The configuration: routes to a service, to endpoints that answer nonsense, and to one whose certificate is for another name.
pub(super) fn yaml(
    [clear, tls, admin]: [u16; 3],
    syslog: u16,
    (spans, metrics): (String, SocketAddr),
    [service, nonsense, broken, goaway, other]: [SocketAddr; 5],
) -> String {
    format!(
        "listeners:
  - {{name: clear, address: \"127.0.0.1:{clear}\", protocols: [http1, http2]}}
  - {{name: tls, address: \"127.0.0.1:{tls}\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
workers: 1
admin: {{address: \"127.0.0.1:{admin}\"}}
log: {{level: trace, format: json}}
access_log:
  - {{path: stdout}}
  - {{path: combined.log, format: combined}}
  - {{path: template.log, format: {{template: \"{TEMPLATE}\"}}}}
  - {{syslog: {{address: \"udp://127.0.0.1:{syslog}\"}}}}
tracing: {{sample: {{share: 100%}}, propagate: [w3c, b3, b3_multi], server_timing: true, export: {{{spans}}}}}
metrics: {{export: {{otlp: {{endpoint: \"http://{metrics}\", protocol: http, compression: none}}, interval: 1s}}}}
secrets: {{from-file: {{file: secret}}, from-environment: {{env: CANARY_SECRET}}}}
plugins: {{directory: plugins, grants: {{conformance: {{upstreams: [], secrets: [from-file, from-environment]}}}}}}
upstreams:
  service: {{endpoints: [\"{service}\"]}}
  nonsense: {{endpoints: [\"{nonsense}\"]}}
  broken: {{endpoints: [\"{broken}\"]}}
  goaway: {{endpoints: [\"{goaway}\"], protocol: http2}}
  other-name: {{endpoints: [\"{other}\"], tls: {{ca: ca.pem, server_name: service.example}}}}
routes:
  - {{name: nonsense, match: {{path: {{prefix: /nonsense}}}}, upstream: nonsense}}
  - {{name: broken, match: {{path: {{prefix: /broken}}}}, upstream: broken}}
  - {{name: goaway, match: {{path: {{prefix: /goaway}}}}, upstream: goaway}}
  - {{name: secrets, match: {{path: {{prefix: /secrets}}}}, plugins: [{{name: conformance, config: {{request_headers: [{{secret: from-file}}, {{secret: from-environment}}]}}}}], upstream: service}}
  - {{name: other-name, match: {{path: {{prefix: /other-name}}}}, upstream: other-name}}
  - {{name: all, match: {{path: {{prefix: /}}}}, plugins: [{{name: test-guest, config: {{id: \"${{CANARY_CONFIG}}\"}}}}], upstream: service}}
"
    )
}
