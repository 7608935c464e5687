//! Upstreams as a configuration describes them: encrypted, over IPv6, balanced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_tests::certs::Authority;
use gateway_tests::client::Client;
use gateway_tests::eventually;
use gateway_tests::gateway::TestGateway;
use gateway_tests::load::Spawned;
use gateway_tests::upstream::{Upstream, text};
use tokio::sync::watch;

/// A TLS service that offers `protocols` by ALPN: another gateway, whose log tells what was spoken. `None` on a machine
/// without the address.
fn service(authority: &Authority, host: &str, protocols: &str) -> Option<TestGateway> {
    std::net::TcpListener::bind((host, 0)).ok()?;
    let address = if host.contains(':') { format!("[{host}]:0") } else { format!("{host}:0") };
    let yaml = format!(
        "listeners:
  - {{name: tls, address: \"{address}\", protocols: [{protocols}], tls: {{certificates: [{{certificate: service.pem, private_key: service.key}}]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: served}}}}]
"
    );
    let started = TestGateway::prepare(&yaml, |directory| {
        authority.issue(directory, "service", &["service.test"]);
    });
    Some(started.unwrap_or_else(|error| panic!("{error}")))
}

/// A gateway in front of it, on a listener of the same family.
fn front(service: &TestGateway, ca: &Authority, server_name: &str) -> TestGateway {
    let to = service.address();
    let yaml = format!(
        "listeners: [{{name: clear, address: \"{}\", protocols: [http1]}}]
upstreams: {{service: {{endpoints: [\"{to}\"], tls: {{ca: ca.pem{server_name}}}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
",
        std::net::SocketAddr::new(to.ip(), 0)
    );
    let pem = ca.pem();
    TestGateway::prepare(&yaml, |directory| std::fs::write(directory.join("ca.pem"), pem).expect("written"))
        .unwrap_or_else(|error| panic!("{error}"))
}

const NAME: &str = ", server_name: service.test";

#[test]
fn an_encrypted_upstream_is_verified_by_its_name_and_alpn_chooses_the_protocol() {
    let authority = Authority::new();
    for host in ["127.0.0.1", "::1"] {
        for (protocols, spoken) in [("http1, http2", "http2"), ("http1", "http1")] {
            let Some(service) = service(&authority, host, protocols) else { continue };
            let gateway = front(&service, &authority, NAME);
            let response = Client::http1(gateway.address()).get(&format!("/{host}"));
            assert_eq!((response.status, response.text()), (200, "served".to_owned()), "{host} {protocols}");
            let record = service.logged("the request", |line| line["status"] == 200);
            assert_eq!(record["protocol"], spoken, "{record}");
            let record = gateway.logged("the request", |line| line["status"] == 200);
            assert_eq!(record["endpoint"], service.address().to_string(), "{record}");
        }
    }
}

#[test]
fn an_upstream_that_is_not_who_it_should_be_gets_no_request() {
    let authority = Authority::new();
    let service = service(&authority, "127.0.0.1", "http1, http2").expect("IPv4");
    for (ca, name) in [(&Authority::new(), NAME), (&authority, ", server_name: other.test"), (&authority, "")] {
        let gateway = front(&service, ca, name);
        let response = Client::http1(gateway.address()).get("/");
        assert_eq!(response.status, 502, "{}", response.text());
        let record = gateway.logged("the failure", |line| line["status"] == 502);
        assert_eq!(record["failure"], "tls", "{record}");
    }
    assert!(service.access_log().is_empty(), "nothing reached it");
}

/// Two upstreams that answer with their name, and a gateway with one worker in front of both.
fn pair(first: &Upstream, second: &Upstream, weight: u32, more: &str) -> TestGateway {
    let yaml = format!(
        "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{service: {{endpoints: [{{address: \"{}\", weight: {weight}}}, \"{}\"]{more}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
workers: 1
",
        first.address(),
        second.address()
    );
    TestGateway::start(&yaml, &[])
}

#[test]
fn endpoints_are_taken_in_turn_by_weight() {
    let [first, second] = ["first", "second"].map(|name| Upstream::start(move |_| text(200, name)));
    let gateway = pair(&first, &second, 3, "");
    let mut client = Client::http1(gateway.address());
    let mut served = BTreeMap::new();
    for _ in 0..40 {
        *served.entry(client.get("/").text()).or_insert(0) += 1;
    }
    assert_eq!(served, [("first".to_owned(), 30), ("second".to_owned(), 10)].into());
}

#[test]
fn the_less_busy_endpoint_is_asked() {
    let (release, released) = watch::channel(false);
    let held = Arc::new(AtomicUsize::new(0));
    let [first, second] = ["first", "second"].map(|name| {
        let (released, held) = (released.clone(), held.clone());
        Upstream::start_async(move |request| {
            let (mut released, held) = (released.clone(), held.clone());
            async move {
                if request.target == "/held" {
                    held.fetch_add(1, Ordering::Relaxed);
                    let _ = released.wait_for(|released| *released).await;
                }
                text(200, name)
            }
        })
    });
    let gateway = pair(&first, &second, 1, ", load_balancing: least_request");
    let address = gateway.address();
    let busy = std::thread::spawn(move || Client::http1(address).get("/held").text());
    eventually("one of them is busy", || (held.load(Ordering::Relaxed) == 1).then_some(()));
    let mut client = Client::http1(address);
    let others: Vec<String> = (0..20).map(|_| client.get("/").text()).collect();
    release.send(true).expect("the upstreams run");
    let busy = busy.join().expect("no panic");
    assert!(others.iter().all(|other| *other != busy), "{busy} was busy: {others:?}");
}

/// As `openssl req -x509` makes it: its own issuer, an authority's, and a server's.
fn self_signed(directory: &std::path::Path, hosts: &[&str]) -> (String, String) {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut parameters = rcgen::CertificateParams::new(hosts).expect("valid names");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    std::fs::write(directory.join("service.pem"), certificate.pem()).expect("written");
    std::fs::write(directory.join("service.key"), key.serialize_pem()).expect("written");
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &rcgen::PublicKeyData::subject_public_key_info(&key));
    (certificate.pem(), STANDARD.encode(digest))
}

#[test]
fn an_upstream_with_a_certificate_as_openssl_makes_them_is_trusted_by_that_certificate_or_by_its_pin() {
    let mut made = None;
    let yaml = "listeners:
  - {name: tls, address: \"127.0.0.1:0\", protocols: [http1], tls: {certificates: [{certificate: service.pem, private_key: service.key}]}}
routes: [{name: all, match: {path: {prefix: /}}, respond: {status: 200, body: served}}]
";
    let service = TestGateway::prepare(yaml, |directory| made = Some(self_signed(directory, &["service.test"])));
    let service = service.unwrap_or_else(|error| panic!("{error}"));
    let (pem, pin) = made.expect("made");
    let other = "A".repeat(43) + "=";
    for (tls, status, said) in [
        ("ca: ca.pem, server_name: service.test".to_owned(), 200, ""),
        ("ca: ca.pem".to_owned(), 502, "upstreams.service.tls.server_name"),
        (format!("verify: {{pin: \"sha256/{pin}\"}}"), 200, ""),
        (format!("verify: {{pin: [\"sha256/{other}\", \"sha256//{pin}\"]}}"), 200, ""),
        (format!("verify: {{pin: \"sha256/{other}\"}}"), 502, "not a pinned one"),
        ("server_name: service.test".to_owned(), 502, "openssl req -x509"),
    ] {
        let yaml = format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams: {{service: {{endpoints: [\"{}\"], tls: {{{tls}}}}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
",
            service.address()
        );
        let gateway =
            TestGateway::prepare(&yaml, |directory| std::fs::write(directory.join("ca.pem"), &pem).expect("written"));
        let gateway = gateway.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Client::http1(gateway.address()).get("/").status, status, "{tls}");
        let record = gateway.logged("the request", |line| line["status"] == status);
        let detail = record["detail"].as_str().unwrap_or_default();
        // Without any roots of the system's, nobody is trusted.
        assert!(
            detail.contains(said) || (tls.starts_with("server_name") && detail.contains("issuer")),
            "{tls}: {record}"
        );
    }
}

#[test]
fn an_endpoint_that_is_left_out_and_one_that_comes_back_is_told_in_the_log() {
    let port = gateway_tests::free_port();
    let live = Upstream::start(|_| text(200, "served"));
    let gateway = Spawned::start(
        &format!(
            "listeners: [{{name: clear, address: \"127.0.0.1:0\", protocols: [http1]}}]
upstreams:
  service:
    endpoints: [\"127.0.0.1:{port}\", \"{}\"]
    passive_health: {{max_failures: 1, fail_timeout: 1s}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, upstream: service}}]
",
            live.address()
        ),
        |_| {},
    );
    let mut client = Client::http1(gateway.listener("clear"));
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let line = gateway.process.wait_for("the endpoint fails and is left out");
    for part in ["service", &format!("127.0.0.1:{port}"), "connect", "1s"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // It comes back.
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::{Read as _, Write as _};
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                client.get("/");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let line = gateway.process.wait_for("the endpoint answers again");
        stop.store(true, Ordering::Relaxed);
        assert!(line.contains(&format!("127.0.0.1:{port}")) && line.contains("after"), "{line}");
    });
}
