//! What holds over endpoints: other endpoints on connect failures, passive health, reuse over reloads, DNS, TLS.

use super::*;
use crate::config::model::UpstreamTls;
use crate::error::ErrorKind;

async fn ok() -> SocketAddr {
    raw(|_, mut socket| async move {
        while socket.head().await.is_some() {
            socket.write(OK).await;
        }
    })
    .await
}

#[test]
fn a_refused_connection_leads_to_the_next_endpoint_and_then_out_of_the_rotation() {
    run(async {
        let (dead, live) = (nobody().await, ok().await);
        let (client, upstream) = (Client::new(), upstream(config(&[dead, live])).await);
        let mut attempts = 0;
        for _ in 0..10 {
            let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
            assert_eq!(response.unwrap().status(), 200);
            assert_eq!(report.endpoint, Some(live));
            attempts += report.attempts;
        }
        assert_eq!(attempts, 13, "three failures, then the dead endpoint is left alone");
        let status = upstream.endpoints();
        assert!(!status[0].healthy && status[1].healthy);
        assert_eq!(status[0].failures, 3);
    });
}

#[test]
fn when_all_are_out_all_are_tried() {
    run(async {
        let upstream = upstream(config(&[nobody().await, nobody().await])).await;
        let client = Client::new();
        for _ in 0..5 {
            let (response, report) = get(&client, &upstream).await;
            assert_eq!(response.err().unwrap().kind(), ErrorKind::Connect);
            assert!(report.attempts >= 1);
        }
    });
}

#[test]
fn a_single_endpoint_is_always_tried() {
    run(async {
        let upstream = upstream(config(&[nobody().await])).await;
        let client = Client::new();
        for _ in 0..5 {
            let (response, report) = get(&client, &upstream).await;
            assert_eq!((response.err().unwrap().kind(), report.attempts), (ErrorKind::Connect, 1));
        }
        assert!(upstream.endpoints()[0].healthy);
        assert_eq!(upstream.endpoints()[0].failures, 5);
    });
}

#[test]
fn an_unchanged_upstream_survives_a_reload() {
    run(async {
        let first = upstream(config(&[nobody().await])).await;
        let config = Config::clone(first.config());
        let same = Upstream::new_or_reuse(Arc::new(config.clone()), Some(&first)).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        let other = Upstream::new_or_reuse(Arc::new(Config { keepalive: 1, ..config }), Some(&first)).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
    });
}

#[test]
fn names_resolve_and_last_good_addresses_stay() {
    run(async {
        let live = ok().await;
        let mut config = config(&[live]);
        config.endpoints[0].host = "localhost".to_owned();
        config.host = UpstreamHost::Endpoint;
        let (client, upstream) = (Client::new(), upstream(config).await);
        assert!(upstream.endpoints().iter().any(|endpoint| endpoint.address == live));
        let (before, generation) =
            (upstream.endpoints().len(), upstream.generation.load(std::sync::atomic::Ordering::Relaxed));
        upstream.publish(&[None]);
        assert_eq!(upstream.endpoints().len(), before);
        assert_eq!(upstream.generation.load(std::sync::atomic::Ordering::Relaxed), generation);
        assert_eq!(get(&client, &upstream).await.0.unwrap().status(), 200);
        // A worker follows a changed list.
        let other = ok().await;
        upstream.publish(&[Some(vec![other])]);
        assert_eq!(get(&client, &upstream).await.1.endpoint, Some(other));
    });
}

#[test]
fn a_name_that_never_resolved_is_a_dns_error() {
    run(async {
        let mut config = config(&[nobody().await]);
        config.endpoints[0].host = "name.invalid".to_owned();
        let (client, upstream) = (Client::new(), upstream(config).await);
        assert_eq!(get(&client, &upstream).await.0.err().unwrap().kind(), ErrorKind::Dns);
    });
}

#[test]
fn the_host_is_the_endpoint_s_or_a_fixed_one_when_asked() {
    run(async {
        let address = raw(|_, mut socket| async move {
            while let Some(head) = socket.head().await {
                let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
                socket.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{host}", host.len())).await;
            }
        })
        .await;
        for (host, expected) in [
            (UpstreamHost::Preserve, "example.no".to_owned()),
            (UpstreamHost::Endpoint, address.to_string()),
            (UpstreamHost::Name(http::HeaderValue::from_static("fixed.example")), "fixed.example".to_owned()),
        ] {
            let (client, upstream) = (Client::new(), upstream(Config { host, ..config(&[address]) }).await);
            assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), expected);
        }
    });
}

#[test]
fn tls_is_verified_and_alpn_decides() {
    run(async {
        let signed = rcgen::generate_simple_self_signed(["good.example".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, signed.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.into())
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let address = raw(move |_, socket| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(socket.io).await else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                http2::serve(stream, http2).await;
            }
        })
        .await;
        let tls = |name: &str| Some(UpstreamTls { server_name: Some(name.to_owned()), ca: Some(ca.clone()) });
        let client = Client::new();
        for (protocol, version) in [
            (UpstreamProtocol::Auto, "HTTP/2.0"),
            (UpstreamProtocol::Http2, "HTTP/2.0"),
            (UpstreamProtocol::Http1, "HTTP/1.1"),
        ] {
            let good = upstream(Config { protocol, tls: tls("good.example"), ..config(&[address]) }).await;
            let response = get(&client, &good).await.0.unwrap();
            assert_eq!(response.headers()["x-version"], version);
        }
        let wrong = upstream(Config { tls: tls("bad.example"), ..config(&[address]) }).await;
        assert_eq!(get(&client, &wrong).await.0.err().unwrap().kind(), ErrorKind::Tls);
        let system = Some(UpstreamTls { server_name: Some("good.example".to_owned()), ca: None });
        let unknown = upstream(Config { tls: system, ..config(&[address]) }).await;
        assert_eq!(get(&client, &unknown).await.0.err().unwrap().kind(), ErrorKind::Tls);
    });
}

#[test]
fn a_bad_ca_file_is_reported_with_its_name() {
    run(async {
        let config = Config {
            tls: Some(UpstreamTls { server_name: None, ca: Some("/nowhere/ca.pem".into()) }),
            ..config(&[nobody().await])
        };
        let error = Upstream::new_or_reuse(Arc::new(config), None).await.unwrap_err().to_string();
        assert!(error.contains("test") && error.contains("/nowhere/ca.pem"), "{error}");
    });
}
