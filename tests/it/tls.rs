//! TLS as clients that check certificates see it: the certificate for each name, and the versions that are offered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use gateway_tests::PATIENCE;
use gateway_tests::certs::Authority;
use gateway_tests::gateway::TestGateway;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

/// The status line of a response, over a connection that trusts nobody but this authority.
fn get(
    address: SocketAddr,
    name: &str,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate")).expect("valid");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("the provider supports it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(Arc::new(config), name).expect("valid");
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")?;
    let mut status = [0; 15];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

fn certificate(directory: &Path, name: &str) -> String {
    let file = |extension: &str| directory.join(format!("{name}.{extension}")).display().to_string();
    format!("{{certificate: \"{}\", private_key: \"{}\"}}", file("pem"), file("key"))
}

#[test]
fn each_name_has_its_certificate_and_old_versions_are_refused_where_the_listener_says_so() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in ["a", "b"] {
        authority.issue(directory.path(), name, &[&format!("{name}.example")]);
    }
    let certificates = ["a", "b"].map(|name| certificate(directory.path(), name)).join(", ");
    // Not every machine has IPv6.
    let host = if TcpListener::bind("[::1]:0").is_ok() { "[::1]" } else { "127.0.0.1" };
    let yaml = format!(
        "listeners:
  - {{name: any, address: \"127.0.0.1:0\", protocols: [http1, http2], tls: {{certificates: [{certificates}]}}}}
  - {{name: new, address: \"{host}:0\", protocols: [http1], tls: {{min_version: \"1.3\", certificates: [{certificates}]}}}}
routes: [{{name: all, match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: whole}}}}]
"
    );
    let gateway = TestGateway::start(&yaml, &[]);
    for (listener, version, served) in [
        ("any", &version::TLS12, true),
        ("any", &version::TLS13, true),
        ("new", &version::TLS12, false),
        ("new", &version::TLS13, true),
    ] {
        for name in ["a.example", "b.example"] {
            let case = format!("{name} at {listener} with {:?}", version.version);
            let status = get(gateway.listener(listener), name, &authority, version);
            match served {
                true => assert_eq!(status.expect(&case), "HTTP/1.1 200 OK", "{case}"),
                false => {
                    let error = status.err().unwrap_or_else(|| panic!("{case} was served"));
                    assert!(error.to_string().contains("ProtocolVersion"), "{case}: {error}");
                }
            }
        }
    }
    assert_eq!(gateway.metric("gateway_listener_rejected_total", &["new", "tls"]) as usize, 2);
}
