//! Upstreams that answer what no decent upstream does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::path::Path;

use gateway_tests::certs::Authority;

use super::Marks;

/// Answers each connection with what `answer` makes of the first bytes that come.
pub(super) fn raw_upstream(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 4096];
            let Ok(count) = stream.read(&mut first) else { continue };
            let _ = stream.write_all(&answer(&first[..count]));
            let _ = stream.shutdown(Shutdown::Write);
            // Until the gateway has read it.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// Answers of an upstream that break off or can't be read, as `/broken/INDEX` asks for them, with what each comes to.
pub(super) fn broken_answers(marks: &mut Marks) -> Vec<(&'static str, String)> {
    let mut mark = |part: &str| marks.letters(format!("upstream's {part}"));
    vec![
        ("502", format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", mark("field without a colon"))),
        ("502", format!("HTTP/1.1 200 OK\r\nx: {}\x01\r\n\r\n", mark("value with a control character"))),
        ("502", format!("HTTP/1.1 200 OK\r\nx: {}", mark("half a head"))),
        ("502", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", mark("content-length"))),
        ("502", format!("HTTP/1.1 {}\r\n\r\n", mark("status"))),
        // The head has been passed on, or has not, when the body breaks.
        ("", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}\r\n", mark("size of a chunk"))),
        ("", format!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}", mark("half a body"))),
        ("", {
            let (name, value) = (mark("name of a bad trailer"), mark("bad trailer"));
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{name} {value}\r\n\r\n")
        }),
    ]
}

/// A TLS endpoint whose certificate, of a trusted authority, is for another name.
pub(super) fn foreign_name(authority: &Authority, directory: &Path, name: &str) -> SocketAddr {
    use rustls_pki_types::pem::PemObject as _;
    let (certificate, key) = authority.issue(directory, "other", &[name]);
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_file(certificate).expect("a certificate")];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("valid");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let config = std::sync::Arc::new(config);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(mut connection) = rustls::ServerConnection::new(config.clone()) else { continue };
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    address
}
