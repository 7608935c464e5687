//! Copies of the audit trail in object storage: a gateway that ships to a server that speaks S3's protocol (moto, from PyPI),
//! with that server away, back, and after the gateway's end.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use audit::verify::{Known, verify};
use gateway_tests::audit::{DECLARED, exchanges, fill, ledger, sections};
use gateway_tests::client::Client;
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};
use gateway_tests::{eventually, foreign, free_port};

/// A running server. What it holds ends with it.
struct Store {
    child: Child,
    address: SocketAddr,
}

impl Store {
    /// One with an empty bucket, `ledger`.
    fn start(address: SocketAddr) -> Self {
        let child = Command::new(foreign::python())
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let store = Self { child, address };
        eventually("the store listens", || std::net::TcpStream::connect(address).map(drop));
        assert_eq!(store.ask("PUT", "/ledger").status, 200);
        store
    }

    /// What it says to whoever may do everything.
    fn ask(&self, method: &str, path: &str) -> gateway_tests::client::Response {
        let credential = "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request";
        let request = http::Request::builder().method(method).uri(path).header("authorization", credential);
        Client::http1(self.address).send(request, "")
    }

    /// The names of all objects, in order.
    fn objects(&self) -> Vec<String> {
        let listed = self.ask("GET", "/ledger?list-type=2").text();
        let names = listed.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        names.map(str::to_owned).collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway that ships to this address, with segments that end after a few records.
fn gateway(upstream: &Upstream, store: SocketAddr) -> TestGateway {
    let ship = format!(
        ", segments: {{size: 4096B}}, ship: {{bucket: ledger, endpoint: \"http://{store}\", prefix: production/a, access_key: id, \
         secret_key: key, every: 1s}}"
    );
    let keys = "secrets: {id: {value: testing}, key: {value: testing-secret}, ";
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{one: {{endpoints: [\"{}\"]}}}}
{}routes: [{{name: all, upstream: one, {DECLARED}}}]
",
        upstream.address(),
        sections(&ship).replace("secrets: {", keys)
    );
    TestGateway::prepare(&yaml, fill).unwrap_or_else(|error| panic!("{error}"))
}

/// The numbers of the segments that are there, and of those that are confirmed.
fn segments(gateway: &TestGateway) -> (usize, usize) {
    let chain = ledger(gateway.directory()).join("edge-1/365d");
    let names = std::fs::read_dir(chain).expect("readable").map(|entry| entry.expect("readable").file_name());
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    let count = |ending: &str| names.iter().filter(|name| name.ends_with(ending)).count();
    (count(".jsonl"), count(".shipped"))
}

#[test]
fn closed_segments_and_signed_heads_are_shipped_retried_and_verified_where_they_lie() {
    let upstream = Upstream::start(|_| text(200, "hello"));
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Nobody listens there yet.
    let mut gateway = gateway(&upstream, address);
    let mut client = Client::http1(gateway.address());
    for _ in 0..12 {
        assert_eq!(client.get("/").status, 200, "a store that is away holds up nobody");
    }
    eventually("a round fails", || {
        let failures = gateway.metric("gateway_audit_ship_failures_total", &[]);
        if failures >= 1.0 { Ok(()) } else { Err(failures) }
    });
    let (written, confirmed) = segments(&gateway);
    assert!(written >= 3 && confirmed == 0, "{written} {confirmed}");

    let store = Store::start(address);
    eventually("it is tried again", || {
        let (written, confirmed) = segments(&gateway);
        if confirmed == written - 1 { Ok(()) } else { Err((written, confirmed)) }
    });
    // The head is counted after the segments of its round.
    eventually("the metrics say so", || {
        let shipped = gateway.metric("gateway_audit_shipped_segments_total", &[]);
        if shipped as usize == segments(&gateway).1 { Ok(()) } else { Err(shipped) }
    });
    assert!(gateway.metric("gateway_audit_shipped_heads_total", &[]) >= 1.0);
    assert_eq!(client.get("/").status, 200);
    drop(client);
    let recorded = exchanges(gateway.directory()).len();
    gateway.drain();

    let objects = store.objects();
    assert!(objects.iter().all(|name| name.starts_with("production/a/edge-1/365d/")), "{objects:?}");
    let heads: Vec<_> = objects.iter().filter(|name| name.contains("/heads/")).collect();
    let last = store.ask("GET", &format!("/ledger/{}", heads.last().expect("a head"))).text();
    let (head, note) = last.split_once("\n\n").expect("a head with its note");
    assert!(note.starts_with("audit-chain/edge-1/365d/"), "{note}");
    let (code, text, said) = gateway_tests::audit::ask(gateway.directory(), &["verify", "audit", "--expect", head]);
    assert_eq!(code, 0, "the last head that was shipped is that of the closed ledger: {text}{said}");

    // Whoever has the bucket alone can verify what is there.
    let copy = tempfile::tempdir().expect("a directory");
    let chain = copy.path().join("edge-1/365d");
    std::fs::create_dir_all(&chain).expect("made");
    for name in objects.iter().filter(|name| name.ends_with(".jsonl")) {
        let content = store.ask("GET", &format!("/ledger/{name}")).body;
        let file = name.rsplit('/').next().expect("a name");
        assert_eq!(content, std::fs::read(ledger(gateway.directory()).join("edge-1/365d").join(file)).expect("there"));
        std::fs::write(chain.join(file), content).expect("written");
    }
    let verified = verify(copy.path(), &Known::default()).expect("readable");
    assert!(verified.is_good() && recorded == 13, "{:?}", verified.findings);
    // The keys of subjects stay here.
    assert!(!objects.iter().any(|name| name.contains("keys")), "{objects:?}");
}
