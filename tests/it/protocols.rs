//! The same request gets the same answer over HTTP/1.1, HTTP/2 and HTTP/3.

use gateway_tests::client::{Client, PROTOCOLS};
use gateway_tests::gateway::TestGateway;
use gateway_tests::upstream::{Upstream, text};

fn config(upstream: &Upstream) -> String {
    format!(
        "listeners:
  - {{name: tls, address: \"127.0.0.1:0\", protocols: [http1, http2, http3], tls: {{self_signed: [localhost]}}}}
  - {{name: clear, address: \"127.0.0.1:0\", protocols: [http1, http2]}}
upstreams:
  echo: {{endpoints: [\"{}\"]}}
routes:
  - {{name: echo, match: {{path: {{prefix: /}}}}, upstream: echo}}
  - {{name: fixed, match: {{path: {{exact: /fixed}}}}, respond: {{status: 418, body: short and stout}}}}
  - {{name: moved, match: {{path: {{prefix: /old}}}}, redirect: {{hostname: new.example.no, status: 308}}}}
",
        upstream.address()
    )
}

#[test]
fn every_protocol_gets_the_same_status_headers_and_body() {
    let upstream = Upstream::start(|seen| {
        let mut response =
            text(201, format!("{} {} {}", seen.method, seen.target, String::from_utf8_lossy(&seen.body)));
        response.headers_mut().insert("x-upstream", "yes".parse().expect("valid"));
        response
    });
    let gateway = TestGateway::start(&config(&upstream), &[]);
    let mut answers = Vec::new();
    for protocol in PROTOCOLS {
        let mut client = Client::tls(protocol, gateway.listener("tls"), "localhost");
        let mut of_protocol = Vec::new();
        for response in [
            client.post("/a/b?c=d", "text/plain", "ping"),
            client.get("/fixed"),
            client.get("/old/page?q=1"),
            client.send(http::Request::head("/a"), ""),
        ] {
            let mut headers: Vec<_> = response
                .headers
                .iter()
                .filter(|(name, _)| !["date", "x-request-id", "alt-svc"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value:?}"))
                .collect();
            headers.sort();
            of_protocol.push((response.status, headers, response.text()));
            assert!(response.headers.contains_key("x-request-id"), "{protocol}");
            assert!(response.headers.contains_key("date"), "{protocol}");
            assert_eq!(response.headers.contains_key("alt-svc"), protocol != "http3", "{protocol}");
        }
        answers.push(of_protocol);
    }
    assert_eq!(answers[0][0].0, 201);
    assert_eq!(answers[0][0].2, "POST /a/b?c=d ping");
    assert_eq!((answers[0][1].0, answers[0][1].2.as_str()), (418, "short and stout"));
    assert_eq!(answers[0][2].0, 308);
    assert_eq!(answers[0][3].2, "", "HEAD has no body");
    for (http1, (http2, http3)) in answers[0].iter().zip(answers[1].iter().zip(&answers[2])) {
        assert_eq!(http1, http2, "HTTP/1.1 and HTTP/2 differ");
        assert_eq!(http1, http3, "HTTP/1.1 and HTTP/3 differ");
    }
}

#[test]
fn cleartext_serves_http1_and_http2_with_prior_knowledge_on_one_port() {
    let upstream = Upstream::start(|_| text(200, "here"));
    let gateway = TestGateway::start(&config(&upstream), &[]);
    assert_eq!(Client::http1(gateway.listener("clear")).get("/").text(), "here");
    assert_eq!(Client::h2c(gateway.listener("clear")).get("/").text(), "here");
}

#[test]
fn keep_alive_holds_on_both_sides() {
    let upstream = Upstream::start(|_| text(200, "again"));
    let gateway = TestGateway::start(&format!("{}workers: 1\n", config(&upstream)), &[]);
    let mut client = Client::http1(gateway.listener("clear"));
    for _ in 0..20 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(upstream.connections(), 1, "requests one after the other need one upstream connection");
}
