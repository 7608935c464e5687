//! What holds over endpoints: other endpoints on connect failures, passive health, reuse over reloads, DNS, TLS.

use super::*;
use crate::error::ErrorKind;
use crate::model::UpstreamTls;

fn failure() -> Error {
    Error::new(ErrorKind::Connect, "refused")
}

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
        let (client, upstream) = (client(), upstream(config(&[dead, live])).await);
        let mut attempts = 0;
        for _ in 0..10 {
            let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
            assert_eq!(response.unwrap().status, 200);
            assert_eq!(report.endpoint(), Some(live));
            attempts += report.count();
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
        let client = client();
        for _ in 0..5 {
            let (response, report) = get(&client, &upstream).await;
            assert_eq!(response.err().unwrap().kind(), ErrorKind::Connect);
            assert_eq!(report.count(), 2);
        }
    });
}

#[test]
fn a_retry_does_not_put_dead_endpoints_back() {
    run(async {
        let (out, dead) = (nobody().await, nobody().await);
        let (client, upstream) = (client(), upstream(config(&[out, dead])).await);
        let endpoint = |place: usize| upstream.endpoints.load()[place].clone();
        (0..3).for_each(|_| endpoint(0).failed(&failure()));
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::Connect);
        assert_eq!((report.count(), report.endpoint()), (2, Some(out)), "it is still better than nothing");
        let status = upstream.endpoints();
        assert!(!status[0].healthy && status[1].healthy, "{status:?}");
    });
}

#[test]
fn an_endpoint_comes_back_after_its_time_out() {
    run(async {
        let (first, second) = (ok().await, ok().await);
        let mut config = config(&[first, second]);
        config.passive_health.fail_timeout = Duration::from_millis(50);
        let (client, upstream) = (client(), upstream(config).await);
        let broken = upstream.endpoints.load()[0].clone();
        (0..3).for_each(|_| broken.failed(&failure()));
        for _ in 0..4 {
            assert_eq!(get(&client, &upstream).await.1.endpoint(), Some(second));
        }
        while !upstream.endpoints()[0].healthy {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut used = Vec::new();
        for _ in 0..4 {
            used.push(get(&client, &upstream).await.1.endpoint().unwrap());
        }
        assert!(used.contains(&first), "{used:?}");
        // The probe has succeeded: one more failure is the first of three again.
        broken.failed(&failure());
        assert!(upstream.endpoints()[0].healthy);
    });
}

#[test]
fn an_exchange_that_ran_out_of_time_is_the_failure_of_who_took_it() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.until("never").await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let limit = Duration::from_millis(300);
        let (_sender, slow) = channel();
        for (body, failures) in [(Body::empty(), 1), (slow, 1), (Body::full("whole"), 2)] {
            let report = Report::new(std::time::Instant::now());
            let request = outbound(Method::POST, body);
            let sent = tokio::time::timeout(limit, client.send(&upstream, request, &report)).await;
            assert!(sent.is_err(), "nobody answers");
            report.timed_out(limit);
            assert_eq!(upstream.endpoints()[0].failures, failures);
        }
        // A client that leaves says nothing of the endpoint.
        let request = outbound(Method::GET, Body::empty());
        let report = Report::new(std::time::Instant::now());
        let _ = tokio::time::timeout(limit, client.send(&upstream, request, &report)).await;
        drop(report);
        assert_eq!(upstream.endpoints()[0].failures, 2);
    });
}

#[test]
fn what_happens_to_an_upstream_is_counted() {
    run(async {
        let address = raw(|number, mut socket| async move {
            socket.head().await;
            if number > 0 {
                let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
                return socket.write(cut).await;
            }
            socket.write(OK).await;
            // The second request finds the connection dead, and goes again over another.
            socket.head().await;
        })
        .await;
        let metrics = Metrics::new(&Default::default());
        let client = counted_in(&metrics);
        let upstream = upstream(config(&[address])).await;
        assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), "ok");
        let response = get(&client, &upstream).await.0.unwrap();
        let value = |name: &str| {
            let text = metrics.page().text();
            let sample = |line: &&str| line.starts_with(name);
            text.lines().find(sample).and_then(|line| line.rsplit(' ').next()).map(str::to_owned).unwrap()
        };
        assert_eq!(value("gateway_upstream_requests_in_flight{"), "1");
        assert_eq!(value("gateway_upstream_connections{"), "1");
        text(response).await.unwrap_err();
        for (name, expected) in [
            ("gateway_upstream_attempts_total{", "3"),
            ("gateway_upstream_retries_total{", "1"),
            ("gateway_upstream_connects_total{", "2"),
            ("gateway_upstream_connections{", "0"),
            ("gateway_upstream_requests_in_flight{", "0"),
            ("gateway_upstream_failures_total{upstream=\"test\",kind=\"reset\"}", "1"),
            ("gateway_upstream_latency_seconds_count{", "2"),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
    });
}

#[test]
fn a_single_endpoint_is_always_tried() {
    run(async {
        let upstream = upstream(config(&[nobody().await])).await;
        let client = client();
        for _ in 0..5 {
            let (response, report) = get(&client, &upstream).await;
            assert_eq!((response.err().unwrap().kind(), report.count()), (ErrorKind::Connect, 1));
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
        let (client, upstream) = (client(), upstream(config).await);
        assert!(upstream.endpoints().iter().any(|endpoint| endpoint.address == live));
        let (before, generation) =
            (upstream.endpoints().len(), upstream.generation.load(std::sync::atomic::Ordering::Relaxed));
        upstream.publish(&[None]);
        assert_eq!(upstream.endpoints().len(), before);
        assert_eq!(upstream.generation.load(std::sync::atomic::Ordering::Relaxed), generation);
        assert_eq!(get(&client, &upstream).await.0.unwrap().status, 200);
        // A worker follows a changed list.
        let other = ok().await;
        upstream.publish(&[Some(vec![other])]);
        assert_eq!(get(&client, &upstream).await.1.endpoint(), Some(other));
    });
}

#[test]
fn a_name_that_never_resolved_is_a_dns_error() {
    run(async {
        let mut config = config(&[nobody().await]);
        config.endpoints[0].host = "name.invalid".to_owned();
        let (client, upstream) = (client(), upstream(config).await);
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
            let (client, upstream) = (client(), upstream(Config { host, ..config(&[address]) }).await);
            assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), expected);
        }
    });
}

#[test]
fn a_request_without_a_client_is_for_the_endpoint_s_own_name() {
    run(async {
        let one = raw(|_, mut socket| async move {
            let head = socket.head().await.unwrap();
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
            socket.write(&format!("HTTP/1.1 200 OK\r\nx-authority: {host}\r\ncontent-length: 0\r\n\r\n")).await;
        })
        .await;
        let two = raw(|_, socket| http2::serve(socket.io, true)).await;
        for (address, protocol) in [(one, UpstreamProtocol::Http1), (two, UpstreamProtocol::Http2)] {
            let (client, upstream) = (client(), upstream(Config { protocol, ..config(&[address]) }).await);
            let request = Outbound { authority: None, ..outbound(Method::GET, Body::empty()) };
            let response = client.send(&upstream, request, &Report::new(std::time::Instant::now())).await.unwrap();
            assert_eq!(response.fields.text("x-authority"), address.to_string());
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
        let tls = |name: &str| {
            Some(UpstreamTls { server_name: Some(name.to_owned()), ca: Some(ca.clone()), pins: Vec::new() })
        };
        let client = client();
        for (protocol, version) in [
            (UpstreamProtocol::Auto, "HTTP/2.0"),
            (UpstreamProtocol::Http2, "HTTP/2.0"),
            (UpstreamProtocol::Http1, "HTTP/1.1"),
        ] {
            let good = upstream(Config { protocol, tls: tls("good.example"), ..config(&[address]) }).await;
            let response = get(&client, &good).await.0.unwrap();
            assert_eq!(response.fields.text("x-version"), version);
        }
        let wrong = upstream(Config { tls: tls("bad.example"), ..config(&[address]) }).await;
        assert_eq!(get(&client, &wrong).await.0.err().unwrap().kind(), ErrorKind::Tls);
        let system = Some(UpstreamTls { server_name: Some("good.example".to_owned()), ca: None, pins: Vec::new() });
        let unknown = upstream(Config { tls: system, ..config(&[address]) }).await;
        assert_eq!(get(&client, &unknown).await.0.err().unwrap().kind(), ErrorKind::Tls);
    });
}

#[test]
fn a_bad_ca_file_is_reported_with_its_name() {
    run(async {
        let config = Config {
            tls: Some(UpstreamTls { server_name: None, ca: Some("/nowhere/ca.pem".into()), pins: Vec::new() }),
            ..config(&[nobody().await])
        };
        let error = Upstream::new_or_reuse(Arc::new(config), None).await.unwrap_err().to_string();
        assert!(error.contains("test") && error.contains("/nowhere/ca.pem"), "{error}");
    });
}

#[test]
fn workers_count_no_references_in_common_for_the_host_of_an_endpoint() {
    use crate::upstream::request::Addressee;
    run(async {
        let address = nobody().await;
        let fixed = UpstreamHost::Name(http::HeaderValue::from_str("api.example.no").unwrap());
        for host in [UpstreamHost::Endpoint, fixed] {
            let upstream = upstream(Config { host, ..config(&[address]) }).await;
            let endpoint = upstream.endpoints.load()[0].clone();
            let [one, two] = [(); 2].map(|()| Addressee::new(&upstream, &endpoint));
            assert_eq!((&one.host, &one.authority), (&two.host, &two.authority));
            assert_ne!(one.host.as_bytes().as_ptr(), two.host.as_bytes().as_ptr());
            assert_ne!(one.authority.as_str().as_ptr(), two.authority.as_str().as_ptr());
        }
    });
}

#[test]
fn an_endpoint_can_be_connected_to_off_the_workers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = upstream(config(&[listener.local_addr().unwrap()])).await;
        let endpoint = upstream.endpoints.load()[0].clone();
        let connecting =
            tokio::spawn(async move { upstream.connector.connect(&endpoint, || {}).await.map(|made| made.http2) });
        let (accepted, connected) = tokio::join!(listener.accept(), connecting);
        assert!(accepted.is_ok());
        assert!(!connected.unwrap().unwrap(), "HTTP/1.1 without ALPN");
    });
}

#[test]
fn each_try_leaves_a_record() {
    run(async {
        let (dead, live) = (
            nobody().await,
            raw(|_, mut socket| async move {
                while socket.head().await.is_some() {
                    socket.write(OK).await;
                }
            })
            .await,
        );
        let (client, upstream) = (client(), upstream(config(&[dead, live])).await);
        let mut failed = None;
        for _ in 0..2 {
            let (response, report) = get(&client, &upstream).await;
            text(response.unwrap()).await.unwrap();
            let attempts = report.attempts();
            let last = attempts.last().unwrap();
            assert_eq!((last.endpoint, report.endpoint()), (live, Some(live)));
            assert!(matches!(last.outcome, AttemptOutcome::Answered(_)) && last.connected.is_some());
            if let [first, second] = &*attempts {
                assert!(first.started <= second.started);
                failed = Some((first.endpoint, first.connected, first.reused, first.outcome));
            }
        }
        assert_eq!(failed, Some((dead, None, false, AttemptOutcome::Failed(ErrorKind::Connect))));
    });
}
